"""Hybrid retrieval: the dense and the lexical ranking joined by reciprocal rank fusion.

Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods",
SIGIR 2009: a chunk scores the sum over the rankings of weight / (constant + rank), with ranks from 1 and constant 60.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragkit.errors import ConfigError
from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Embedder, Rows
from ragkit.retrievers.dense import DenseRetriever
from ragkit.retrievers.lexical import LexicalRetriever
from ragkit.retrievers.ranking import hits, ordered
from ragkit.retrievers.scan import nothing
from ragkit.retrievers.store import Found, Store
from ragkit.schema import Hit


class HybridRetriever:
    """Fuses the first `depth` chunks of both rankings; where more hits are asked for, as many as that.

    Args:
        snapshot: The generation that is searched.
        embedder: Embeds the question.
        store: Where vectors are searched.
        constant: How little the first ranks stand out; 60 in the paper.
        depth: Chunks read of each ranking; beyond it a chunk scores nothing there.
        dense_weight: Weight of the dense ranking.
        lexical_weight: Weight of the lexical ranking.
    """

    name = "hybrid"

    def __init__(
        self,
        snapshot: Snapshot,
        embedder: Embedder,
        store: Store,
        *,
        constant: float = 60.0,
        depth: int = 100,
        dense_weight: float = 1.0,
        lexical_weight: float = 1.0,
    ) -> None:
        for option, value, least in (("depth", depth, 1), ("constant", constant, 0)):
            if value < least:
                raise ConfigError(f"The option {option!r} of 'hybrid' is {value}; at least {least} is needed.")
        if min(dense_weight, lexical_weight) < 0 or not dense_weight + lexical_weight:
            raise ConfigError(
                f"The weights of 'hybrid' are {dense_weight} and {lexical_weight}; neither may be negative, nor both 0."
            )
        self._snapshot = snapshot
        self._rankings = (
            (DenseRetriever(snapshot, embedder, store), dense_weight),
            (LexicalRetriever(snapshot), lexical_weight),
        )
        self._constant = constant
        self._depth = depth

    def search(self, query: str, k: int, where: str | None = None) -> list[Hit]:
        """Return at most `k` hits with their fused scores (see `Retriever.search`).

        Raises FilterError where `where` does not parse.
        """
        if k <= 0:
            return []
        rows = None if where is None else self._snapshot.rows_where(where)
        return hits(self._snapshot, self.candidates(query, k, rows), k)

    def candidates(self, query: str, k: int, rows: Rows | None = None) -> Found:
        """Return the rows of all chunks in the first `depth` of either ranking, with their fused scores."""
        depth = max(self._depth, k)
        rankings = [
            (ordered(self._snapshot, part.candidates(query, depth, rows), depth)[0], weight)
            for part, weight in self._rankings
            if weight
        ]
        return fused(rankings, self._constant)


def fused(rankings: Sequence[tuple[Rows, float]], constant: float = 60.0) -> Found:
    """Return all rows of `rankings`, each with its weight, and their reciprocal rank fusion scores.

    >>> rows, scores = fused([(np.array([7, 8]), 1.0), (np.array([8, 9]), 1.0)])
    >>> rows.tolist(), [round(float(score), 4) for score in scores]
    ([8, 7, 9], [0.0325, 0.0164, 0.0161])
    """
    scores: dict[int, float] = {}
    for ranking, weight in rankings:
        for rank, row in enumerate(ranking.tolist(), start=1):
            scores[row] = scores.get(row, 0.0) + weight / (constant + rank)
    if not scores:
        return nothing()
    rows, values = np.array(list(scores), np.int64), np.array(list(scores.values()), np.float32)
    order = np.lexsort((rows, -values))
    return rows[order], values[order]
