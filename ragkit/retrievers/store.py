"""What a vector store is: a place to search vectors, kept in step with the ledger of an index."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Rows, Vectors

Scores: TypeAlias = NDArray[np.float32]

Found: TypeAlias = tuple[Rows, Scores]
"""Rows and their inner products with the query, best first."""


@runtime_checkable
class Store(Protocol):
    """Searches the vectors of one snapshot.

    A store may hold a projection of the vectors of its own. The projection is stamped with the generation it shows,
    and a search whose snapshot has another generation must not use it: results are never stale or partial.
    """

    def search(self, queries: Vectors, k: int, rows: Rows | None = None) -> list[Found]:
        """Return for each query the `k` best of `rows` (sorted; None means all), and what ties with the last of them.

        Scores come from `ragkit.retrievers.scan.exact_scores`, so they are the same from every store.
        """
        ...

    def generation(self) -> int | None:
        """Return the generation that the projection shows, or None if it shows none completely."""
        ...

    def sync(self, snapshot: Snapshot, previous_generation: int, added: Rows, removed: Rows) -> None:
        """Bring the projection to `snapshot`, which `added` and `removed` rows tell from `previous_generation`.

        Called after each commit of the ledger. A projection of any other generation, as a crash leaves it, is brought
        up to date in full. A kill during the call leaves a projection that shows no generation, or an old one.
        """
        ...
