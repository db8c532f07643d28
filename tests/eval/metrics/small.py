"""Runs and queries in one line, and Hypothesis strategies for both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from ragkit.eval.types import EvidenceSpan, Query, Retrieved

Place = tuple[str, int, int]


def run(*places: Place, tokens: Sequence[int] | None = None, ranked: bool = True) -> Retrieved:
    """Return hits at `places`, best first; by default a token is four characters."""
    spans = np.array([place[1:] for place in places], np.int64).reshape(-1, 2)
    counts = (spans[:, 1] - spans[:, 0]) // 4 if tokens is None else np.array(tokens, np.int64)
    scores = -np.arange(len(places), dtype=np.float64)
    return Retrieved(tuple(place[0] for place in places), spans, counts, scores, ranked)


def query(*evidence: Place, name: str = "q", grades: Sequence[float] | None = None, scope: str | None = None) -> Query:
    """Return a query with evidence at these places."""
    weights = [1.0] * len(evidence) if grades is None else grades
    spans = tuple(EvidenceSpan(*place, grade=grade) for place, grade in zip(evidence, weights, strict=True))
    return Query(name, "?", evidence=spans, scope=scope)


def places(length: int = 40, least: int = 0) -> st.SearchStrategy[Place]:
    """Return places of at least `least` characters in one of three short documents."""

    def place(document: str, ends: tuple[int, int]) -> Place:
        start, end = sorted(ends)
        return document, start, max(end, start + least)

    offset = st.integers(0, length - 1)
    return st.builds(place, st.sampled_from("abc"), st.tuples(offset, offset))


def token_grid(spans: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.array(spans, np.int64).reshape(-1, 2)


CASES = st.lists(
    st.tuples(st.lists(places(least=1), min_size=1, max_size=4), st.lists(places(), max_size=7)), min_size=1, max_size=4
)
"""Per query its evidence and its hits, best first."""
