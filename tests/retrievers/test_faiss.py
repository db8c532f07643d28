"""The FAISS store beyond the exact scan: HNSW, its file, and what happens without or with a broken one."""

from __future__ import annotations

import shutil
import warnings

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError, MissingExtraError
from ragkit.plugins import create
from ragkit.retrievers import faiss as module
from ragkit.retrievers import hnsw
from ragkit.retrievers.dense import DenseRetriever
from ragkit.retrievers.faiss import FaissStore
from ragkit.retrievers.store import Store
from ragkit.testing.retriever import check_retriever
from tests.retrievers.conftest import EMBEDDER, Library, text_of
from tests.retrievers.test_dense import FILTERS, QUERIES

NO_ROWS = np.empty(0, np.int64)


def synced(library: Library, previous: int = -1, **options) -> FaissStore:
    snapshot = library.snapshot()
    store = FaissStore(snapshot, index="hnsw", **options)
    store.sync(snapshot, previous, NO_ROWS, NO_ROWS)
    return store


@pytest.fixture(scope="module")
def graph_store(shelf):
    return synced(shelf)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def test_is_a_store(snapshot, graph_store):
    assert isinstance(FaissStore(snapshot), Store)
    assert FaissStore(snapshot).generation() == snapshot.generation
    assert graph_store.generation() == snapshot.generation


def test_hnsw_keeps_the_contract(graph_store, snapshot):
    check_retriever(DenseRetriever(snapshot, EMBEDDER, graph_store), QUERIES, filters=FILTERS, size=snapshot.size)


def test_hnsw_finds_nearly_all_with_the_exact_scores(graph_store, snapshot):
    exact, found, wanted = FaissStore(snapshot), 0, 0
    queries = EMBEDDER.embed_queries([text_of(n, 1) for n in range(1000, 1050)])
    for (rows, scores), (best, best_scores) in zip(
        graph_store.search(queries, 10), exact.search(queries, 10), strict=True
    ):
        true = dict(zip(best.tolist(), best_scores.tolist(), strict=True))
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            assert true.get(row, score) == score
        found += len(true.keys() & set(rows.tolist()))
        wanted += len(true)
    assert found / wanted > 0.95


@given(st.integers(0, 2**32), st.floats(0.0, 1.0), st.integers(1, 30))
def test_hnsw_returns_only_rows_that_pass(graph_store, snapshot, seed, share, k):
    source = np.random.default_rng(seed)
    live = snapshot.live_rows()
    rows = live[source.random(len(live)) < share]
    query = EMBEDDER.embed_queries([text_of(seed, 1)])
    [(found, _)] = graph_store.search(query, k, rows)
    assert np.isin(found, rows).all()
    assert len(found) >= min(k, len(rows))


def test_sync_extends_after_additions_and_rebuilds_after_removals(library, monkeypatch):
    added = []
    real_add = faiss.IndexHNSWFlat.add
    monkeypatch.setattr(faiss.IndexHNSWFlat, "add", lambda self, x: added.append(len(x)) or real_add(self, x))
    library.put({f"{n}.txt": text_of(n) for n in range(50)})
    synced(library)
    library.put({"50.txt": text_of(50)})
    synced(library, previous=1)
    library.put({"50.txt": None})
    store = synced(library, previous=2)
    assert added == [300, 6, 300]
    assert [path.name for path in (library.folder / "projections").iterdir()] == ["hnsw-0000000003"]
    store.sync(library.snapshot(), 2, NO_ROWS, NO_ROWS)
    assert added == [300, 6, 300], "nothing to do"
    synced(library, m=8)
    assert added[-1] == 300, "other parameters need another graph"


def exact_hits(library: Library, k: int = 10):
    snapshot = library.snapshot()
    return [hit.row for hit in DenseRetriever(snapshot, EMBEDDER, FaissStore(snapshot)).search(QUERIES[0], k)]


def test_without_a_graph_the_search_is_exact_and_says_so(library):
    library.put({f"{n}.txt": text_of(n) for n in range(60)})
    synced(library)
    library.put({"0.txt": None})  # a crash before the sync
    snapshot = library.snapshot()
    store = FaissStore(snapshot, index="hnsw")
    with pytest.warns(UserWarning, match="there is none for this generation. Run `ragkit index`"):
        hits = DenseRetriever(snapshot, EMBEDDER, store).search(QUERIES[0], 10)
    assert [hit.row for hit in hits] == exact_hits(library)
    assert store.generation() is None
    assert synced(library, previous=-1).generation() == 2


def test_a_damaged_graph_is_never_read(library, monkeypatch):
    library.put({f"{n}.txt": text_of(n) for n in range(60)})
    synced(library)
    path = library.folder / "projections" / "hnsw-0000000001" / "graph.faiss"
    whole = path.read_bytes()
    monkeypatch.setattr(hnsw.faiss, "read_index", None)
    for damaged in (whole[:-1], b"\xff" * len(whole), b""):
        path.write_bytes(damaged)
        snapshot = library.snapshot()
        with pytest.warns(UserWarning, match=r"graph\.faiss"):
            hits = DenseRetriever(snapshot, EMBEDDER, FaissStore(snapshot, index="hnsw")).search(QUERIES[0], 10)
        assert [hit.row for hit in hits] == exact_hits(library)
    monkeypatch.undo()
    assert synced(library).generation() == 1, "a sync mends it"


def test_another_kind_of_faiss_file_is_refused(library):
    library.put({"a.txt": text_of(1)})
    synced(library)
    folder = library.folder / "projections" / "hnsw-0000000001"
    facts = hnsw.read_manifest(folder)
    flat = faiss.serialize_index(faiss.IndexFlatIP(64)).tobytes()
    for content in (flat, b"IHNf" * 99):
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "graph.faiss").write_bytes(content)
        hnsw.write_manifest(folder, identity=facts["identity"], count=facts["count"])
        with pytest.warns(UserWarning, match="Searching exactly"):
            assert FaissStore(library.snapshot(), index="hnsw").generation() is None


def test_an_empty_index_needs_no_graph(library):
    store = synced(library)
    assert [len(rows) for rows, _ in store.search(EMBEDDER.embed_queries(["river"]), 5)] == [0]


def test_options(snapshot):
    for options in ({"m": 1}, {"ef": 0}, {"index": "hnsw", "gpu": True}):
        with pytest.raises(ConfigError):
            create("stores", "faiss", options, snapshot=snapshot)
    with pytest.raises(ConfigError, match="'ivf'"):
        create("stores", "faiss", {"index": "ivf"}, snapshot=snapshot)
    if not hasattr(faiss, "StandardGpuResources"):
        with pytest.raises(MissingExtraError) as caught:
            FaissStore(snapshot, gpu=True)
        assert "ragkit[gpu]" in caught.value.hint


def test_what_a_gpu_proposes_is_scored_exactly(snapshot, monkeypatch):
    """FAISS's flat index on the CPU stands in for the one on the GPU, which has the same interface."""

    def flat(snapshot):
        rows = snapshot.live_rows()
        index = faiss.IndexFlatIP(snapshot.header.dimension)
        index.add(snapshot.vectors(rows.tolist()))
        return index, rows

    monkeypatch.setattr(module, "_gpu_index", flat)
    gpu, exact = FaissStore(snapshot, gpu=True), FaissStore(snapshot)
    queries = EMBEDDER.embed_queries([text_of(n, 2) for n in range(30)])
    for k in (0, 1, 10, 5000):
        for (rows, scores), (best, best_scores) in zip(gpu.search(queries, k), exact.search(queries, k), strict=True):
            assert rows.tolist() == best.tolist()
            assert scores.tolist() == best_scores.tolist()
    rows = snapshot.rows_where("lang = 'en'")
    assert gpu.search(queries[:1], 5, rows)[0][0].tolist() == exact.search(queries[:1], 5, rows)[0][0].tolist()
