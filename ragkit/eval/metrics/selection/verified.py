"""What a selector's flags caught of the poison that reached them, and what they cost in evidence, from a selection."""

from __future__ import annotations

from collections.abc import Callable, Set

from ragkit.eval.metrics.selection.poison import PoisonCounts, poison_counts
from ragkit.schema import Hit, Selection


def flag_counts(
    selection: Selection, poisoned: Set[str], is_gold: Callable[[Hit], bool], *, flags: Set[str] | None = None
) -> PoisonCounts:
    """Return the counts for one query: kept or flagged chunks had been selected, flagged ones are the positive class.

    `poisoned` are ids of documents (`poisoned_documents`), `is_gold` tells whether a hit has evidence, `flags` which
    flags count (None: all, also those that did not turn a chunk out). Add the counts over queries, then read shares.
    """
    told = selection.trace.get("flags", {})
    found = [(hit, set(told.get(hit.chunk_id, ())), True) for hit in selection.hits]
    found += [(one.hit, set(one.flags), False) for one in selection.dropped if one.flags]
    chosen = {hit.chunk_id: hit for hit, own, kept in found if kept or flags is None or own & flags}
    flagged = {hit.chunk_id for hit, own, _ in found if (own if flags is None else own & flags)}
    return poison_counts(
        set(chosen),
        flagged,
        {name for name, hit in chosen.items() if hit.chunk.doc_id in poisoned},
        {name for name, hit in chosen.items() if is_gold(hit)},
    )
