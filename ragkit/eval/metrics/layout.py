"""All hits and all evidence of a run as flat arrays, checked: what scoring works on instead of objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import UsageError
from ragkit.eval.metrics.geometry import Floats, Ints
from ragkit.eval.types import EvidenceSpan, Query, Retrieved

SpansByDocument = Mapping[str, NDArray[np.int64]]
"""Spans `[start, end)` in code points by document id, each of shape (n, 2)."""


class Spans(NamedTuple):
    """Spans of numbered documents, for numbered queries; parallel arrays."""

    query: Ints
    document: Ints
    start: Ints
    end: Ints


@dataclass(frozen=True, slots=True)
class Layout:
    """Hits in rank order within each query, queries in order; gold spans with their grades likewise.

    Queries are numbered 0 to queries - 1: only those that count. `codes` numbers the documents. `ranked` is False
    where some run is not in order of score. Hits outside a query's scope are left out.
    """

    ids: tuple[str, ...]
    codes: Mapping[str, int]
    hits: Spans
    tokens: Ints
    gold: Spans
    grades: Floats
    unranked: tuple[str, ...]

    @property
    def queries(self) -> int:
        """How many queries count."""
        return len(self.ids)


def lay_out(queries: Sequence[Query], runs: Sequence[Retrieved]) -> Layout:
    """Return the layout of queries that all count; raise UsageError naming the query with a wrong span."""
    codes: defaultdict[str, int] = defaultdict(count().__next__)
    gold, grades = _gold(queries, codes)
    hits, tokens = _hits(queries, runs, codes)
    scopes = np.array([-1 if query.scope is None else codes[query.scope] for query in queries], np.int64)
    if (scopes >= 0).any():
        wanted = scopes[hits.query]
        inside = (wanted < 0) | (wanted == hits.document)
        hits, tokens = Spans(*(column[inside] for column in hits)), tokens[inside]
    ids = tuple(query.query_id for query in queries)
    unranked = tuple(query.query_id for query, run in zip(queries, runs, strict=True) if not run.ranked)
    return Layout(ids, dict(codes), hits, tokens, gold, grades, unranked)


def positive(query: Query) -> list[EvidenceSpan]:
    """Return the evidence that is relevant; a grade of 0 or less says that a span was judged and is not."""
    return [span for span in query.evidence if span.grade > 0]


def _gold(queries: Sequence[Query], codes: dict[str, int]) -> tuple[Spans, Floats]:
    spans = [positive(query) for query in queries]
    flat = list(chain.from_iterable(spans))
    gold = Spans(
        np.repeat(np.arange(len(queries)), [len(found) for found in spans]),
        np.array([codes[span.doc_id] for span in flat], np.int64),
        np.array([span.start for span in flat], np.int64),
        np.array([span.end for span in flat], np.int64),
    )
    wrong = np.flatnonzero((gold.start < 0) | (gold.end <= gold.start))
    if len(wrong):
        span = flat[wrong[0]]
        raise UsageError(
            f"Query {queries[gold.query[wrong[0]]].query_id!r} has the evidence span [{span.start}, {span.end}) in "
            f"{span.doc_id!r}; 0 <= start < end was expected.",
            hint="Correct the data set, or let its loader drop the span.",
        )
    return gold, np.array([span.grade for span in flat], np.float64)


def _hits(queries: Sequence[Query], runs: Sequence[Retrieved], codes: dict[str, int]) -> tuple[Spans, Ints]:
    for query, run in zip(queries, runs, strict=True):
        sizes = {len(run.documents), len(run.spans), len(run.tokens), len(run.scores)}
        if len(sizes) > 1 or (len(run.spans) and run.spans.shape[1:] != (2,)):
            raise UsageError(
                f"The run of query {query.query_id!r} has {len(run.documents)} documents, spans of shape "
                f"{run.spans.shape}, {len(run.tokens)} token counts and {len(run.scores)} scores.",
                hint="Give parallel arrays, the spans of shape (hits, 2).",
            )
    filled = [run for run in runs if len(run.documents)]
    owner = np.repeat(np.arange(len(runs)), [len(run.documents) for run in runs])
    document = np.fromiter(
        map(codes.__getitem__, chain.from_iterable(run.documents for run in filled)), np.int64, len(owner)
    )
    spans = np.concatenate([np.zeros((0, 2), np.int64), *(run.spans for run in filled)])
    tokens = np.concatenate([np.zeros(0, np.int64), *(run.tokens for run in filled)])
    wrong = np.flatnonzero((spans[:, 0] < 0) | (spans[:, 1] < spans[:, 0]) | (tokens < 0))
    if len(wrong):
        first = wrong[0]
        raise UsageError(
            f"The run of query {queries[owner[first]].query_id!r} has the span [{spans[first, 0]}, {spans[first, 1]}) "
            f"of {tokens[first]} tokens; 0 <= start <= end and a count of at least 0 were expected.",
            hint="Correct the system that returned it.",
        )
    return Spans(owner, document, spans[:, 0].astype(np.int64), spans[:, 1].astype(np.int64)), tokens
