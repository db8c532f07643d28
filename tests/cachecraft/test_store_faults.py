"""The chunk store when a tier is too small, does not answer, or refuses for the moment: what is lost, what is not."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from valkey import Valkey

from ragkit.cachecraft.core.keys import context_key, variant_name
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.home import space_folder
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers import blob_file
from ragkit.cachecraft.tiers.breaker import Breaker
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.cachecraft.tiers.remote import RemoteTier
from ragkit.cachecraft.tiers.server import Server
from ragkit.cachecraft.tiers.tier import Blob
from tests.cachecraft.tiers.servers import running_server
from tests.cachecraft.variants import SPACE, body, variant

ALL = [variant(number).name for number in range(5)]
SIZE = 20_000


def save(store: ChunkStore, numbers: Sequence[int] = range(5)) -> None:
    for number in numbers:
        store.save(variant(number), body(number), always=True)
        assert store.flush(10)


def files(folder: Path) -> set[str]:
    return {path.name.removesuffix(".kv") for path in folder.rglob("*.kv")}


def names(store: ChunkStore) -> set[str]:
    return {one.name for one in store.index}


class Away(MemoryTier):
    """A remote tier that can be switched off: it then keeps nothing and says that it may have what it had."""

    name = "remote"

    def __init__(self) -> None:
        super().__init__(10**8)
        self.on = True

    def get(self, names: Sequence[str]) -> list[Blob | None]:
        return super().get(names) if self.on else [None] * len(names)

    def put(self, blobs: Mapping[str, Blob]) -> set[str]:
        return super().put(blobs) if self.on else set()

    def exists(self, names: Sequence[str]) -> list[bool]:
        return super().exists(names) if self.on else [False] * len(names)

    def may_have(self, names: Sequence[str]) -> list[bool]:
        return super().exists(names)


def test_a_disk_smaller_than_memory_bounds_what_is_known(tmp_path: Path):
    with ChunkStore(SPACE, tmp_path, 100 * SIZE, 3 * SIZE) as store:
        save(store)
        assert names(store) == files(tmp_path)
        assert len(names(store)) == 3
        assert store.stats().evictions == {"index": 2, "memory": 0, "disk": 0}
        kept = names(store)
    with ChunkStore(SPACE, tmp_path, 100 * SIZE, 3 * SIZE) as again:
        assert names(again) == kept


def test_no_disk_is_memory_only(tmp_path: Path):
    with ChunkStore(SPACE, tmp_path, 3 * SIZE, 0) as store:
        save(store)
        assert len(store.load(ALL)) == len(names(store)) == 3
        assert not any(store.lasting(ALL))


def test_what_the_disk_pushes_out_stays_known_where_the_remote_store_has_it(tmp_path: Path):
    with ChunkStore(SPACE, tmp_path, 0, 3 * SIZE, Away()) as store:
        save(store)
        assert len(files(tmp_path)) == 3
        assert all(store.lasting(ALL))
        assert len(store.load(ALL)) == 5


def test_what_the_disk_pushes_out_is_forgotten_where_nothing_else_has_it(tmp_path: Path):
    remote = Away()
    with ChunkStore(SPACE, tmp_path, 100 * SIZE, 3 * SIZE, remote) as store:
        save(store, [0, 1])
        remote.on = False
        assert store.room == SIZE
        save(store, [2, 3, 4])
        assert len(remote.names()) + len(names(store) - set(remote.names())) == len(names(store))
        assert names(store) == files(tmp_path) | (names(store) & set(remote.names()))
        assert store.index.used_bytes <= 5 * SIZE
        remote.on = True
        assert store.load(sorted(names(store))).keys() == names(store)


def test_a_remote_store_that_says_no_counts_for_nothing(tmp_path: Path):
    class Full(Away):
        def put(self, blobs: Mapping[str, Blob]) -> set[str]:
            return set()

    with ChunkStore(SPACE, tmp_path, 100 * SIZE, 3 * SIZE, Full()) as store:
        save(store)
        assert names(store) == files(tmp_path)
        assert store.stats().evictions["disk"] == 2
        assert store.lasting(ALL) == [name in files(tmp_path) for name in ALL]


@pytest.fixture
def port() -> Iterator[int]:
    with running_server() as (port, _):
        yield port


def remote(port: int, seconds: float = 5.0, rate: float = 50e6, breaker: Breaker | None = None) -> RemoteTier:
    url = f"valkey://127.0.0.1:{port}"
    return RemoteTier(url, 10**8, scope=SPACE, seconds=seconds, rate=rate, part_bytes=2_000, breaker=breaker)


def in_the_server_only(folder: Path, port: int) -> None:
    with ChunkStore(SPACE, folder, 0, remote=remote(port)) as store:
        save(store)
    for path in folder.rglob("*.kv"):
        path.unlink()


def test_what_comes_too_late_is_a_miss_and_stays_known(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch):
    in_the_server_only(tmp_path, port)
    real = Server.get

    def slowly(self: Server, key: str) -> bytes | None:
        time.sleep(0.03)
        return real(self, key)

    with monkeypatch.context() as patched:
        patched.setattr(Server, "get", slowly)
        with ChunkStore(SPACE, tmp_path, 0, remote=remote(port, 0.2, 1e9)) as store:
            for _ in range(2):  # late, then off
                assert store.load(ALL) == {}
                assert names(store) == set(ALL)
            assert {"remote: time-out", "remote: off"} <= store.stats().failures.keys()
    with ChunkStore(SPACE, tmp_path, 0, remote=remote(port)) as again:
        assert len(again.load(ALL)) == 5
        gone = ALL[0]
        assert again.flush(10), "what came was written to the disk"
        Valkey(port=port).delete(*Valkey(port=port).keys(f"*{gone}*"))
        for path in tmp_path.rglob("*.kv"):
            path.unlink()
        assert again.load([gone]) == {}
        assert names(again) == {*ALL} - {gone}, "what the server says it has not is forgotten"


def test_clearing_waits_until_a_server_far_away_is_empty(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch):
    with ChunkStore(SPACE, tmp_path, remote=remote(port)) as store:
        save(store)
    for method in ("remove", "sweep"):
        real = getattr(Server, method)
        monkeypatch.setattr(Server, method, lambda self, *given, real=real: (time.sleep(0.05), real(self, *given))[1])
    client = Valkey(port=port)
    with ChunkStore(SPACE, tmp_path, remote=remote(port)) as store:
        other = remote(port)
        other.put({"of somebody else": body(9)})
        assert store.clear() == []
        assert client.dbsize() == 0
        save(store, [1])
        assert names(store) == {variant(1).name}
    assert client.dbsize() > 0


def test_what_is_evicted_leaves_the_server_too(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch):
    real = Server.remove
    monkeypatch.setattr(Server, "remove", lambda self, *given: (time.sleep(0.02), real(self, *given))[1])
    with ChunkStore(SPACE, tmp_path, remote=remote(port)) as store:
        save(store)
        for name in ALL[1:]:
            store._drop([name])
    assert remote(port).names() == ALL[:1]


def test_a_reader_changes_nothing_in_the_server(tmp_path: Path, port: int):
    with ChunkStore(SPACE, tmp_path, remote=remote(port)) as writer:
        save(writer)
        client = Valkey(port=port)
        client.set(f"ragkit:kv:{{{SPACE}}}:{ALL[0]}:head", b"noise")
        (path,) = tmp_path.rglob(f"{ALL[0]}.kv")
        path.unlink()
        before = set(client.keys("*"))
        with ChunkStore(SPACE, tmp_path, remote=remote(port)) as reader:
            assert reader.load(ALL).keys() == {*ALL[1:]}
            with pytest.warns(match="Another process"):
                reader.save(variant(7), body(7), always=True)
            assert reader.load([variant(7).name])
            reader.clear()
        assert set(client.keys("*")) == before


def refuse(*_: object, **__: object) -> int:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.filterwarnings("ignore:The chunk store")
@pytest.mark.parametrize("layerwise", [False, True])
def test_too_many_open_files_lose_no_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layerwise: bool):
    with ChunkStore(SPACE, tmp_path, 0) as store:
        save(store)
        with monkeypatch.context() as patched:
            patched.setattr(blob_file.os, "open", refuse)
            if layerwise and (batch := store.arrive(ALL)) is not None:
                for one in batch.arriving.values():
                    with pytest.raises(Exception, match="Too many"):
                        one.wait(1)
            assert store.load(ALL) == {}
        assert names(store) == files(tmp_path) == set(ALL)
        assert len(store.load(ALL)) == 5


def test_a_catalog_that_cannot_be_opened_for_now_loses_no_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with ChunkStore(SPACE, tmp_path) as store:
        save(store)

    def busy(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", busy)
        with ChunkStore(SPACE, tmp_path) as store:
            assert not names(store)
            assert store.stats().failures == {"catalog: off": 1}
    with ChunkStore(SPACE, tmp_path) as again:
        assert len(again.load(ALL)) == 5


@pytest.mark.filterwarnings("ignore:The chunk store")
def test_a_folder_that_cannot_be_listed_for_now_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with ChunkStore(SPACE, tmp_path) as store:
        save(store)
    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", refuse)
        with ChunkStore(SPACE, tmp_path) as store:
            assert names(store) == set(ALL)
            assert store.load(ALL) == {}
            assert names(store) == set(ALL)
    with ChunkStore(SPACE, tmp_path) as again:
        assert len(again.load(ALL)) == 5


def behind(label: int) -> Variant:
    """Return a chunk behind nothing but a label, of one length whatever it says."""
    one = variant(1, history=())
    context = context_key(np.array([label], np.int32))
    return replace(one, name=variant_name(one.chunk, "prefix", (), 7, context=context), context=context)


def test_bytes_of_another_context_never_serve(tmp_path: Path, port: int):
    """The server keeps old bytes while it is off, and is asked again when the disk has lost the new ones."""
    with ChunkStore(SPACE, tmp_path, remote=remote(port)) as store:
        assert store.save(behind(1), body(1), always=True)
    breaker = Breaker(1000)
    breaker.failed()
    with ChunkStore(SPACE, tmp_path, remote=remote(port, breaker=breaker)) as store:
        assert store.clear() == ["remote"]
        assert store.save(behind(2), body(2), always=True)
    for path in space_folder(tmp_path, SPACE).rglob("*.kv"):
        path.unlink()
    with ChunkStore(SPACE, tmp_path, remote=remote(port)) as store:
        (known,) = store.index
        assert known.context == behind(2).context
        assert store.load([known.name]) == {}
        assert not names(store)
