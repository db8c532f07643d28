"""Dense retrieval: chunks whose vectors have the highest inner product with the question's."""

from __future__ import annotations

import numpy as np

from ragkit.errors import IndexMismatchError
from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Embedder, Rows
from ragkit.retrievers.ranking import hits
from ragkit.retrievers.scan import has_direction, nothing
from ragkit.retrievers.store import Found, Store
from ragkit.schema import Hit


class DenseRetriever:
    """Embeds the question and searches `store`; scores are cosines, since all vectors have unit length."""

    name = "dense"

    def __init__(self, snapshot: Snapshot, embedder: Embedder, store: Store) -> None:
        self._snapshot = snapshot
        self._embedder = embedder
        self._store = store

    def search(self, query: str, k: int, where: str | None = None) -> list[Hit]:
        """Return at most `k` hits (see `Retriever.search`).

        Raises FilterError where `where` does not parse, IndexMismatchError where the index has another dimension.
        """
        rows = None if where is None else self._snapshot.rows_where(where)
        return hits(self._snapshot, self.candidates(query, k, rows), k)

    def candidates(self, query: str, k: int, rows: Rows | None = None) -> Found:
        """Return the rows of the `k` best chunks among `rows`, and of those that tie with the last."""
        if k <= 0 or not self._snapshot.segments or (rows is not None and not len(rows)):
            return nothing()
        vectors = np.ascontiguousarray(self._embedder.embed_queries([query]), dtype=np.float32)
        dimension = self._snapshot.segments[0].vectors.shape[1]
        if vectors.shape[1] != dimension:
            raise IndexMismatchError(
                f"{self._embedder.name} gives vectors of {vectors.shape[1]} dimensions; the index holds {dimension}.",
                hint="Use the embedder that built the index, or index the sources again into a new folder.",
            )
        return self._store.search(vectors, k, rows)[0] if has_direction(vectors[0]) else nothing()
