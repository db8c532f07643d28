"""An approximate index beside the ledger: a graph of near neighbours (HNSW, Malkov and Yashunin 2018) in a file.

The graph is a folder `projections/hnsw-<generation>` with a manifest, which is checked before FAISS reads the file:
FAISS itself trusts the sizes it finds there. Ids in the graph count the live rows in ascending order.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import faiss as typed_faiss
import numpy as np

from ragkit.errors import CorruptIndexError
from ragkit.identity import content_hash
from ragkit.index.durable import publish, storage_errors
from ragkit.index.manifest import read_manifest, write_manifest
from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Rows, Vectors

faiss: Any = typed_faiss  # its stubs declare the C++ signatures, not the Python ones
_FILE = "graph.faiss"
_ADDED_AT_ONCE = 8192
_READ_OVERHEAD = 64 * 2**20


class HnswGraph:
    """A graph over the live rows of one generation, held in memory."""

    def __init__(self, index: Any, rows: Rows) -> None:
        self._index = index
        self._rows = rows

    def candidates(self, queries: Vectors, k: int, ef: int, rows: Rows | None = None) -> list[Rows]:
        """Return for each query at most `k` rows near it, among `rows` if given; `ef` nodes are kept in sight."""
        selector = None
        if rows is not None:
            allowed = np.zeros(-(-len(self._rows) // 8) * 8, np.uint8)
            allowed[np.searchsorted(self._rows, np.intersect1d(rows, self._rows, assume_unique=True))] = 1
            selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=max(ef, k))
        _, found = self._index.search(queries, min(k, len(self._rows)), params=parameters)
        return [self._rows[ids[ids >= 0]] for ids in found]


def read_graph(snapshot: Snapshot, m: int, ef_construction: int) -> HnswGraph | None:
    """Return the graph of the snapshot's generation, or None if there is none with these parameters.

    Raises CorruptIndexError where it is damaged.
    """
    folder = _folder(snapshot.folder, snapshot.generation)
    rows = snapshot.live_rows()
    if not folder.is_dir() or read_manifest(folder).get("identity") != _identity(snapshot, rows, m, ef_construction):
        return None
    return HnswGraph(_read_index(folder, len(rows)), rows)


def write_graph(snapshot: Snapshot, previous_generation: int, m: int, ef_construction: int) -> None:
    """Write the graph of the snapshot's generation, extending the previous one where nothing was removed since."""
    folder = _folder(snapshot.folder, snapshot.generation)
    rows = snapshot.live_rows()
    identity = _identity(snapshot, rows, m, ef_construction)
    if _intact(folder).get("identity") == identity:
        return
    index, known = _extendable(snapshot, previous_generation, rows, m, ef_construction)
    if index is None:
        index = faiss.IndexHNSWFlat(snapshot.header.dimension, m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = ef_construction
    for at in range(known, len(rows), _ADDED_AT_ONCE):
        index.add(snapshot.vectors(rows[at : at + _ADDED_AT_ONCE].tolist()))
    with storage_errors(snapshot.folder):
        _publish(folder, index, identity, len(rows))


def _publish(folder: Path, index: Any, identity: str, count: int) -> None:
    """Write `index` as `folder`, whole or not at all, and remove graphs of other generations."""
    building = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    faiss.write_index(index, str(building / _FILE))
    write_manifest(building, identity=identity, count=count)
    shutil.rmtree(folder, ignore_errors=True)
    publish(building, folder)
    for other in folder.parent.glob("hnsw-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _extendable(
    snapshot: Snapshot, previous_generation: int, rows: Rows, m: int, ef_construction: int
) -> tuple[Any | None, int]:
    """Return the previous graph and its number of rows where those are the first of `rows`, else (None, 0)."""
    folder = _folder(snapshot.folder, previous_generation)
    facts = _intact(folder)
    count = int(facts.get("count", 0))
    if not count or facts.get("identity") != _identity(snapshot, rows[:count], m, ef_construction):
        return None, 0
    return _read_index(folder, count), count


def _intact(folder: Path) -> dict[str, Any]:
    """Return the facts in the manifest of `folder`, or none if it is not there or damaged: it is then built anew."""
    try:
        return read_manifest(folder)
    except CorruptIndexError:
        return {}


def _read_index(folder: Path, count: int) -> Any:
    path = folder / _FILE
    faiss.set_deserialization_vector_byte_limit(path.stat().st_size + _READ_OVERHEAD)
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise CorruptIndexError(f"{path} cannot be read by FAISS: {error}.", hint="Run: ragkit repair") from error
    if not isinstance(index, faiss.IndexHNSWFlat) or index.ntotal != count:
        raise CorruptIndexError(f"{path} is no graph of {count:,} vectors.", hint="Run: ragkit repair")
    return index


def _folder(index_folder: Path, generation: int) -> Path:
    return index_folder / "projections" / f"hnsw-{generation:010d}"


def _identity(snapshot: Snapshot, rows: Rows, m: int, ef_construction: int) -> str:
    """Return what a graph must agree in: the index, its rows, and how it was built."""
    index_id = snapshot.header.index_id
    return content_hash("hnsw", index=index_id, rows=rows.tobytes(), m=m, ef_construction=ef_construction)
