"""The default store: the segments of the index themselves, searched exactly, by an HNSW graph or on a GPU."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ragkit.errors import ConfigError, CorruptIndexError, MissingExtraError
from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Rows, Vectors
from ragkit.retrievers.scan import ExactScan
from ragkit.retrievers.store import Found

if TYPE_CHECKING:
    from ragkit.retrievers.hnsw import HnswGraph

_SCAN_SHARE = 0.1
"""Share of the rows up to which a filter is scanned exactly: a graph walk then finds few nodes that pass."""
_GPU_SPARE = 64


class FaissStore:
    """Searches the vectors of a snapshot.

    Args:
        snapshot: The generation that is searched.
        index: "exact" compares with every vector; "hnsw" walks a graph, which finds most of the best in less time.
        m: Links of a graph node.
        ef_construction: Nodes kept in sight while the graph is built.
        ef: Nodes kept in sight while it is searched; more find more of the best.
        gpu: Search exactly on the first CUDA device, which must hold all vectors.

    Raises MissingExtraError for `gpu` where the installed FAISS has no GPU support.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        index: Literal["exact", "hnsw"] = "exact",
        m: int = 32,
        ef_construction: int = 200,
        ef: int = 128,
        gpu: bool = False,
    ) -> None:
        for option, value in (("m", m), ("ef_construction", ef_construction), ("ef", ef)):
            if value < 2:
                raise ConfigError(f"The option {option!r} of the store 'faiss' is {value}; at least 2 is needed.")
        if gpu and index == "hnsw":
            raise ConfigError("FAISS has no HNSW on a GPU.", hint="Set index to exact, or gpu to false.")
        self._snapshot = snapshot
        self._kind = index
        self._build = (m, ef_construction)
        self._ef = ef
        self._scan = ExactScan(snapshot)
        self._graph: HnswGraph | None = None
        self._opened = False
        self._gpu = _gpu_index(snapshot) if gpu else None

    @staticmethod
    def keeps_projection(options: Mapping[str, Any]) -> bool:
        """Return whether a store with these options needs `sync`: an exact one reads the index's own segments."""
        return options.get("index") == "hnsw"

    def search(self, queries: Vectors, k: int, rows: Rows | None = None) -> list[Found]:
        """Return for each query its best rows (see `Store.search`); with "hnsw" some of the best may be missed."""
        if self._gpu is not None and rows is None and k > 0:
            return self._search_gpu(queries, k)
        graph = self._open_graph() if self._kind == "hnsw" else None
        few = rows is not None and len(rows) <= _SCAN_SHARE * self._snapshot.size
        if graph is None or few or k <= 0 or not self._snapshot.size:
            return self._scan.search(queries, k, rows)
        # Never fewer than ef: the best 5 are then the first of the best 10, as one walk gives both.
        proposed = graph.candidates(queries, max(k, self._ef), self._ef, rows)
        wanted = min(k, self._snapshot.size if rows is None else len(rows))
        return [
            self._scan.rescored(near, query, k) if len(near) >= wanted else self._scan.search(query[None], k, rows)[0]
            for near, query in zip(proposed, queries, strict=True)
        ]

    def generation(self) -> int | None:
        """Return the snapshot's generation, or None if the HNSW graph of it is not there."""
        ready = self._kind == "exact" or self._open_graph() is not None
        return self._snapshot.generation if ready else None

    def sync(
        self,
        snapshot: Snapshot,
        previous_generation: int,
        added: Rows,  # noqa: ARG002 - the graph tells by its own stamp what it lacks
        removed: Rows,  # noqa: ARG002
    ) -> None:
        """Write the HNSW graph of `snapshot`; the exact search has no projection and needs nothing."""
        if self._kind == "hnsw":
            from ragkit.retrievers.hnsw import write_graph

            write_graph(snapshot, previous_generation, *self._build)
            self._opened = False

    def _open_graph(self) -> HnswGraph | None:
        """Return the graph, or None with a warning where exact search must take its place."""
        if not self._opened:
            from ragkit.retrievers.hnsw import read_graph

            self._opened = True
            try:
                self._graph = read_graph(self._snapshot, *self._build)
                reason = "there is none for this generation"
            except CorruptIndexError as error:
                reason = error.message
            if self._graph is None and self._snapshot.size:
                warnings.warn(
                    f"Searching exactly, without the HNSW graph: {reason}. Run `ragkit index` again to build it.",
                    stacklevel=2,
                )
        return self._graph

    def _search_gpu(self, queries: Vectors, k: int) -> list[Found]:
        index, rows = self._gpu or (None, np.empty(0, np.int64))
        if index is None or k + _GPU_SPARE > min(2048, len(rows)):  # 2048 is the most that FAISS selects on a GPU
            return self._scan.search(queries, k)
        scores, ids = index.search(queries, k + _GPU_SPARE)
        margin = 4 * queries.shape[1] * 2.0**-24
        return [
            self._scan.rescored(rows[near], query, k)
            if some[-1] < some[k - 1] - margin
            else self._scan.search(query[None], k)[0]  # more ties than were fetched
            for some, near, query in zip(scores, ids, queries, strict=True)
        ]


def _gpu_index(snapshot: Snapshot) -> tuple[Any, Rows]:
    """Return a flat index of the live vectors in the memory of the first GPU, and their rows."""
    import faiss

    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        raise MissingExtraError(
            "The store 'faiss' with gpu: true needs a FAISS with GPU support and a CUDA device; there is none here.",
            hint="Install it with: pip uninstall faiss-cpu && pip install 'ragkit[gpu]'. Or set gpu to false.",
        )
    rows = snapshot.live_rows()
    index = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), snapshot.header.dimension)
    for at in range(0, len(rows), 65_536):
        index.add(snapshot.vectors(rows[at : at + 65_536].tolist()))
    return index, rows
