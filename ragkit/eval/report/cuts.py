"""Which hits a measure looks at: the retrieved tokens that a quality was bought with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import RagkitError
from ragkit.eval.hits import Hits, SystemHits
from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.measure import Measure
from ragkit.eval.metrics.parsing import parse
from ragkit.eval.results import QueryRecord


def parsed(measure: str) -> Measure | None:
    """Return the measure that is written so, None for one that the harness does not declare (a judge's, a plugin's)."""
    try:
        return parse(measure)
    except RagkitError:
        return None


def lower_is_better(measure: str) -> bool:
    """Return whether a smaller value of the measure is the better one."""
    found = parsed(measure)
    return found is not None and found.declaration.lower_is_better


def cutoff(measure: str) -> Cutoff | None:
    """Return where the measure cuts the ranked list, None where it does not or is not known."""
    found = parsed(measure)
    return None if found is None else found.cutoff


def in_scope(record: QueryRecord, hits: SystemHits) -> list[int]:
    """Return the places of the hits that count for the query, best first: with a scope, only those within it."""
    return [place for place, document in enumerate(hits.documents) if record.scope in (None, document)]


def retrieved_tokens(scopes: Sequence[str | None], found: Hits, cut: Cutoff | None) -> NDArray[np.int64] | None:
    """Return for each query the tokens of its hits before the cut-off; `scopes[i]` is that of query i.

    None for `adaptive()`, which depends on the whole corpus. As in scoring: a budget takes whole chunks in rank order
    until the next one would exceed it, and hits outside a query's scope are left out.
    """
    if cut is not None and (cut.kind == "adaptive" or cut.size is None):
        return None
    codes = {name: place for place, name in enumerate(found.documents)}
    wanted = np.array([-1 if one is None else codes.get(one, -2) for one in scopes], np.int64)
    query = np.repeat(np.arange(len(found)), found.counts)
    rows = found.spans[found.hit]
    inside = (wanted[query] == -1) | (wanted[query] == rows[:, 0])
    query, rows = query[inside], rows[inside]
    tokens = rows[:, 3]
    if cut is not None and cut.size is not None:
        lengths = {"k": np.ones(len(rows), np.int64), "tokens": tokens, "chars": rows[:, 2] - rows[:, 1]}[cut.kind]
        running = np.cumsum(lengths)
        before = (running - lengths)[np.searchsorted(query, query)]
        kept = running - before <= cut.size
        query, tokens = query[kept], tokens[kept]
    return np.bincount(query, weights=tokens, minlength=len(found)).astype(np.int64)
