"""Exact search: the inner product of a query with every stored vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Rows, Vectors
from ragkit.retrievers.store import Found, Scores

_BATCH_SCORES = 2**24
"""Scores held at a time while many queries are answered together: 64 MiB."""
_RESCORED_AT_ONCE = 4096
_GATHER_SHARE = 0.2
"""Share of the rows up to which copying their vectors together beats scoring all; measured, 384 dimensions."""


def exact_scores(vectors: Vectors, query: NDArray[np.float32]) -> Scores:
    """Return the inner products in double precision, rounded once.

    A matrix product rounds differently with the place of a row in it. These scores depend on the two vectors alone,
    so that equal vectors tie and an index with a history scores as a fresh one does.
    """
    wide = query.astype(np.float64)
    parts = [
        (vectors[at : at + _RESCORED_AT_ONCE].astype(np.float64) * wide).sum(axis=1)
        for at in range(0, len(vectors), _RESCORED_AT_ONCE)
    ]
    return np.concatenate(parts).astype(np.float32) if parts else np.empty(0, np.float32)


def nothing() -> Found:
    """Return no rows."""
    return np.empty(0, np.int64), np.empty(0, np.float32)


def best(rows: Rows, scores: Scores, k: int) -> Found:
    """Return the `k` highest scores with their rows, best first, and all that tie with the last of them."""
    order = np.lexsort((rows, -scores))
    rows, scores = rows[order], scores[order]
    if len(rows) > k:
        kept = int(np.sum(scores >= scores[k - 1]))
        rows, scores = rows[:kept], scores[:kept]
    return rows, scores


def has_direction(query: NDArray[np.float32]) -> bool:
    """Return whether `query` can be compared with anything: a zero vector, as for an empty text, cannot."""
    return bool(np.isfinite(query).all() and query.any())


class ExactScan:
    """Searches the memory-mapped segments of a snapshot with BLAS, without a copy of the vectors.

    At 100,000 vectors of 384 dimensions on two cores this takes 5.7 ms a query, FAISS's IndexFlatIP 17 ms (one query
    uses one thread); 64 queries together take 0.7 ms each, with faiss.knn 4.5 ms.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._segments = [segment.vectors for segment in snapshot.segments if len(segment.rows)]
        held = [segment.rows for segment in snapshot.segments if len(segment.rows)]
        self._rows: Rows = np.concatenate(held) if held else np.empty(0, np.int64)
        self._starts = np.cumsum([0, *map(len, held)])
        self._order: Rows = np.argsort(self._rows, kind="stable")
        self._sorted = self._rows[self._order]
        self._dead = self._places(snapshot.dead_rows())

    def search(self, queries: Vectors, k: int, rows: Rows | None = None) -> list[Found]:
        """Return for each query its best rows (see `Store.search`)."""
        usable = np.array([has_direction(query) for query in queries], dtype=bool)
        if k <= 0 or not len(self._rows) or not usable.any():
            return [nothing() for _ in queries]
        if not usable.all():
            found = iter(self.search(queries[usable], k, rows))
            return [next(found) if use else nothing() for use in usable]
        places = None if rows is None else self._alive(self._places(rows))
        if places is not None and len(places) <= _GATHER_SHARE * len(self._rows):
            vectors = self.vectors(places)
            return [best(self._rows[places], exact_scores(vectors, query), k) for query in queries]
        at_once = max(1, _BATCH_SCORES // len(self._rows))
        blocks = [queries[at : at + at_once] for at in range(0, len(queries), at_once)]
        return [
            self._select(products, query, k, places)
            for block in blocks
            for products, query in zip(self._products(block), block, strict=True)
        ]

    def rescored(self, rows: Rows, query: NDArray[np.float32], k: int) -> Found:
        """Return the best of `rows`, as another index proposed them, with exact scores; unknown rows are left out."""
        places = self._alive(self._places(rows)) if has_direction(query) else np.empty(0, np.int64)
        return best(self._rows[places], exact_scores(self.vectors(places), query), k)

    def vectors(self, places: NDArray[np.int64]) -> Vectors:
        """Return copies of the vectors at `places`, counted over all segments."""
        if not len(places):
            return np.empty((0, 0), np.float32)
        result = np.empty((len(places), self._segments[0].shape[1]), np.float32)
        owners = np.searchsorted(self._starts, places, side="right") - 1
        for owner in np.unique(owners):
            mine = owners == owner
            result[mine] = self._segments[owner][places[mine] - self._starts[owner]]
        return result

    def _products(self, queries: Vectors) -> NDArray[np.float32]:
        """Return the rounded products of all vectors with `queries`, one line for each query."""
        if len(queries) == 1:
            return np.concatenate([vectors @ queries[0] for vectors in self._segments])[None]
        return np.concatenate([queries @ vectors.T for vectors in self._segments], axis=1)

    def _select(
        self, products: NDArray[np.float32], query: NDArray[np.float32], k: int, places: NDArray[np.int64] | None
    ) -> Found:
        """Return the best rows: those whose product is within rounding of the k-th best are scored exactly."""
        if places is None:
            products[self._dead] = -np.inf
            candidates = np.flatnonzero(products >= self._threshold(products, query, k))
            candidates = self._alive(candidates)
        else:
            products = products[places]
            candidates = places[products >= self._threshold(products, query, k)]
        return best(self._rows[candidates], exact_scores(self.vectors(candidates), query), k)

    def _threshold(self, products: NDArray[np.float32], query: NDArray[np.float32], k: int) -> float:
        if k >= len(products):
            return -np.inf
        kth = float(np.partition(products, len(products) - k)[len(products) - k])
        # n products summed in any order are off by less than n * 2**-24 * |a| * |b| (Higham 2002, section 3.1).
        return kth - 2.2 * len(query) * 2.0**-24 * float(np.linalg.norm(query))

    def _places(self, rows: Rows) -> NDArray[np.int64]:
        """Return where the vectors of `rows` lie; rows without a vector are left out."""
        if not len(rows) or not len(self._rows):
            return np.empty(0, np.int64)
        at = np.minimum(np.searchsorted(self._sorted, rows), len(self._sorted) - 1)
        places: NDArray[np.int64] = self._order[at[self._sorted[at] == rows]]
        return places

    def _alive(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return places[~np.isin(places, self._dead)] if len(self._dead) else places
