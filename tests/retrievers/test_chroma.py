"""The Chroma store against a real embedded database and a real server: current, or not used at all."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from ragkit.errors import ConfigError, IndexMismatchError, ServerError, StorageError
from ragkit.plugins import create
from ragkit.retrievers.chroma import ChromaStore
from ragkit.retrievers.dense import DenseRetriever
from ragkit.retrievers.faiss import FaissStore
from ragkit.retrievers.store import Store
from ragkit.testing.retriever import check_retriever
from tests.retrievers.conftest import EMBEDDER, Library, text_of
from tests.retrievers.test_dense import FILTERS, QUERIES

chromadb = pytest.importorskip("chromadb", reason="the extra 'chroma' is not installed")
NO_ROWS = np.empty(0, np.int64)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def synced(library: Library, previous: int = -1, added=NO_ROWS, removed=NO_ROWS, **options) -> ChromaStore:
    snapshot = library.snapshot()
    store = ChromaStore(snapshot, **options)
    store.sync(snapshot, previous, added, removed)
    return store


def ids(store: ChromaStore) -> list[str]:
    return sorted(store._collection().get(include=[])["ids"], key=int)


def expected_ids(library: Library) -> list[str]:
    return [str(row) for row in library.snapshot().live_rows()]


def exact(library: Library, query: str = QUERIES[0]):
    snapshot = library.snapshot()
    return DenseRetriever(snapshot, EMBEDDER, FaissStore(snapshot)).search(query, 10)


def searched(library: Library, query: str = QUERIES[0], **options):
    snapshot = library.snapshot()
    return DenseRetriever(snapshot, EMBEDDER, ChromaStore(snapshot, **options)).search(query, 10)


def test_contract_of_an_embedded_collection(library):
    library.put({f"{n}.txt": text_of(n) for n in range(40)})
    store = synced(library)
    snapshot = library.snapshot()
    assert isinstance(store, Store)
    assert store.generation() == snapshot.generation
    check_retriever(DenseRetriever(snapshot, EMBEDDER, store), QUERIES, filters=FILTERS, size=snapshot.size)
    assert searched(library) == exact(library)


def test_chroma_itself_answers(library, monkeypatch):
    library.put({f"{n}.txt": text_of(n) for n in range(40)})
    store = synced(library)
    monkeypatch.setattr(store._scan, "search", None)
    queries = EMBEDDER.embed_queries(QUERIES)
    assert [len(rows) for rows, _ in store.search(queries, 7)] == [7] * len(QUERIES)


def test_a_sync_changes_only_what_the_commit_changed(library, monkeypatch):
    changes = []
    for name in ("_add", "_delete"):
        real = getattr(ChromaStore, name)
        monkeypatch.setattr(
            ChromaStore,
            name,
            lambda self, *a, name=name, real=real: changes.append((name, len(a[-1]))) or real(self, *a),
        )
    commit = library.put({f"{n}.txt": text_of(n) for n in range(10)})
    synced(library, 0, commit.added, commit.removed)
    commit = library.put({"3.txt": text_of(77), "4.txt": None})
    store = synced(library, 1, commit.added, commit.removed)
    assert changes[-2:] == [("_delete", 12), ("_add", 6)]
    assert ids(store) == expected_ids(library)
    count = len(changes)
    store.sync(library.snapshot(), 1, commit.added, commit.removed)
    assert len(changes) == count, "a second sync has nothing to do"


def test_a_stale_collection_is_not_used_and_caught_up_in_full(library):
    library.put({f"{n}.txt": text_of(n) for n in range(20)})
    synced(library)
    library.put({"0.txt": None})
    library.put({"20.txt": text_of(20)})  # two commits without a sync, as after a crash
    with pytest.warns(UserWarning, match="does not show this generation"):
        assert searched(library) == exact(library)
    store = synced(library, previous=2)
    assert ids(store) == expected_ids(library)
    assert searched(library) == exact(library)


def test_a_kill_during_a_sync_leaves_no_stamp(library, monkeypatch):
    commit = library.put({f"{n}.txt": text_of(n) for n in range(20)})

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ChromaStore, "_add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            synced(library, 0, commit.added, commit.removed)
    with pytest.warns(UserWarning, match="does not show"):
        assert searched(library) == exact(library)
    assert ids(synced(library, 0, commit.added, commit.removed)) == expected_ids(library)
    assert searched(library) == exact(library)


def test_a_reader_of_an_older_generation_never_sees_the_newer_one(library):
    library.put({f"{n}.txt": text_of(n) for n in range(20)})
    store = synced(library)
    retriever = DenseRetriever(library.snapshot(), EMBEDDER, store)
    before = retriever.search(QUERIES[0], 10)
    commit = library.put({f"{n}.txt": None for n in range(10)})
    synced(library, 1, commit.added, commit.removed)
    with pytest.warns(UserWarning, match="does not show"):
        assert retriever.search(QUERIES[0], 10) == before


def test_lost_and_foreign_entries(library):
    library.put({f"{n}.txt": text_of(n) for n in range(20)})
    store = synced(library)
    collection = store._collection()
    collection.delete(ids=ids(store)[:60])
    collection.add(ids=["9999999", "not a row"], embeddings=np.eye(2, 64, dtype=np.float32))
    with pytest.warns(UserWarning, match="Searching exactly"):
        assert searched(library) == exact(library)
    assert ids(synced(library)) == expected_ids(library)
    assert searched(library) == exact(library)


def test_without_a_collection_nothing_is_created_by_reading(library):
    library.put({"a.txt": text_of(1)})
    with pytest.warns(UserWarning, match="does not show"):
        assert searched(library) == exact(library)
    assert not (library.folder / "projections").exists()
    assert ChromaStore(library.snapshot()).generation() is None


def test_a_database_that_fails_is_replaced_by_the_exact_scan(library, monkeypatch):
    library.put({f"{n}.txt": text_of(n) for n in range(20)})
    store = synced(library)
    monkeypatch.setattr(
        store, "_collection", lambda: (_ for _ in ()).throw(RuntimeError("hnsw segment reader: nothing found"))
    )
    with pytest.warns(UserWarning, match="RuntimeError: hnsw segment reader"):
        [(rows, _)] = store.search(EMBEDDER.embed_queries(QUERIES[:1]), 10)
    assert rows[:10].tolist() == [hit.row for hit in exact(library)]


def test_a_damaged_database_is_not_used_and_can_be_replaced(library):
    library.put({f"{n}.txt": text_of(n) for n in range(20)})
    folder = library.folder / "projections" / "chroma"
    folder.mkdir(parents=True)
    (folder / "chroma.sqlite3").write_bytes(b"not a database" * 999)
    with pytest.warns(UserWarning, match="Searching exactly"):
        assert searched(library) == exact(library)
    with pytest.raises(StorageError, match="projections/chroma") as caught:
        synced(library)
    assert "Remove that folder" in caught.value.hint
    shutil.rmtree(folder)
    assert synced(library).generation() == 1
    assert searched(library) == exact(library)


def test_a_collection_of_something_else_is_refused(library):
    library.put({"a.txt": text_of(1)})
    store = synced(library)
    store._client(create=True).create_collection("mine", metadata={"purpose": "other"}, embedding_function=None)
    with pytest.raises(IndexMismatchError, match="belongs to something else"):
        synced(library, collection="mine")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "http://x:99999999", ""])
def test_urls(library, url):
    with pytest.raises(ConfigError, match="'url'"):
        create("stores", "chroma", {"url": url}, snapshot=library.snapshot())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real `chroma run` on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--host", "127.0.0.1", "--port", str(port)]
    folder = tmp_path_factory.mktemp("server")
    process = subprocess.Popen(
        [*command, "--path", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    )
    for _ in range(150):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            break
        except OSError:
            assert process.poll() is None, "chroma run ended"
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}", process
    process.kill()
    process.wait()


def test_a_server_current_stale_and_gone(library, server):
    url, process = server
    library.put({f"{n}.txt": text_of(n) for n in range(20)})
    store = synced(library, url=url)
    assert store.generation() == 1
    assert not (library.folder / "projections").exists()
    assert searched(library, url=url) == exact(library)
    commit = library.put({"0.txt": None, "20.txt": text_of(20)})
    with pytest.warns(UserWarning, match="does not show"):
        assert searched(library, url=url) == exact(library)
    store = synced(library, 1, commit.added, commit.removed, url=url)
    assert ids(store) == expected_ids(library)
    assert searched(library, url=url) == exact(library)
    process.kill()
    process.wait()
    with pytest.warns(UserWarning, match="Searching exactly, without the Chroma collection"):
        assert searched(library, url=url) == exact(library)
    with pytest.raises(ServerError, match="was not brought up to date") as caught:
        synced(library, url=url)
    assert "committed" in caught.value.hint
