"""Which hits a measure looks at: the retrieved tokens that a quality was bought with."""

from __future__ import annotations

from itertools import accumulate

from ragkit.errors import RagkitError
from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.measure import Measure
from ragkit.eval.metrics.parsing import parse
from ragkit.eval.results import QueryRecord, SystemHits


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


def retrieved_tokens(record: QueryRecord, hits: SystemHits, cut: Cutoff | None) -> int | None:
    """Return the tokens of the hits before the cut-off; None for `adaptive()`, which depends on the whole corpus.

    As in scoring: a budget takes whole chunks in rank order until the next one would exceed it.
    """
    places = in_scope(record, hits)
    tokens = [hits.tokens[place] for place in places]
    if cut is None:
        return sum(tokens)
    if cut.kind == "adaptive" or cut.size is None:
        return None
    if cut.kind == "k":
        return sum(tokens[: cut.size])
    lengths = tokens if cut.kind == "tokens" else [hits.spans[place][1] - hits.spans[place][0] for place in places]
    kept = sum(running <= cut.size for running in accumulate(lengths))
    return sum(tokens[:kept])
