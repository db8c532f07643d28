"""Chunks computed ahead: what comes first, what is skipped, what has no room, and that they serve."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from ragkit.cachecraft import building as building_module
from ragkit.cachecraft.building import Built, build_chunks
from ragkit.cachecraft.core.keys import chunk_key, variant_name
from ragkit.cachecraft.reuse import ChunkReuse
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers import blob_file
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.config import KvReuseConfig
from ragkit.errors import IndexLockedError, RagkitWarning

from .conftest import TEXTS, prompt


@pytest.fixture
def session(backend, pieces, memory):
    return SimpleNamespace(backend=backend, pieces=pieces, store=memory)


def stored_ids(session) -> list[list[int]]:
    return [one.ids.tolist() for one in session.store.index if one.prefix]


def test_built_chunks_serve_any_prompt_and_are_exact_behind_the_prefix(session, backend, pieces):
    told = []
    built = build_chunks(session, TEXTS, window=8192, progress=lambda *step: told.append(step))
    assert (built.built, built.present, built.left_out) == (4, 0, 0)
    assert built.bytes == sum(len(ids) for ids in stored_ids(session)) * backend.token_bytes
    assert told == [("chunks", 4, 4)]
    assert {(one.generation, one.history) for one in session.store.index} == {(0, ())}
    for one in session.store.index:  # bytes made behind other labels have another name
        behind = (one.prefix, one.history, one.start, one.generation)
        assert one.name == variant_name(one.chunk, *behind, context=one.context)
    done = ChunkReuse(backend, session.store, KvReuseConfig()).compute(pieces.layout(prompt((3, 1), "When?")))
    assert not done.plan.reasons


def test_what_is_there_is_skipped_and_equal_texts_are_built_once(session):
    assert build_chunks(session, TEXTS, limit=2, window=8192).built == 2
    again = build_chunks(session, [*TEXTS, TEXTS[0]], window=8192)
    assert (again.built, again.present) == (2, 2)


def test_chunks_asked_for_come_first(session, pieces):
    wanted = pieces.chunk(TEXTS[2])
    session.store.index.wanted(chunk_key(session.backend.space.key, wanted))
    build_chunks(session, TEXTS, limit=1, window=8192)
    assert stored_ids(session) == [wanted.tolist()]


def test_no_more_is_built_than_fits_the_store_and_the_window(backend, pieces):
    room = (len(pieces.prefix) + len(pieces.chunk(TEXTS[0]))) * backend.token_bytes
    with ChunkStore(backend.space.key, None, room, admission="always") as store:
        session = SimpleNamespace(backend=backend, pieces=pieces, store=store)
        built = build_chunks(session, TEXTS, window=8192)
        assert (built.built, built.left_out) == (1, 3)
        assert stored_ids(session) == [pieces.chunk(TEXTS[0]).tolist()]
        assert store.index.used_bytes <= room
        assert build_chunks(session, TEXTS, window=len(pieces.prefix) + 5).left_out == 3


def test_what_another_process_writes_is_not_built(backend, pieces, tmp_path):
    with (
        ChunkStore(backend.space.key, tmp_path),
        ChunkStore(backend.space.key, tmp_path) as second,
        pytest.raises(IndexLockedError, match="Another process"),
    ):
        build_chunks(SimpleNamespace(backend=backend, pieces=pieces, store=second), TEXTS, window=8192)  # type: ignore[arg-type]


def test_what_a_full_disk_does_not_keep_is_not_said_to_be_built(backend, pieces, tmp_path, monkeypatch):
    real, written = blob_file.os.posix_fallocate, []

    def full(*where: int) -> None:
        written.append(where)
        if len(written) > 2:  # the prefix and one chunk
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*where)

    monkeypatch.setattr(blob_file.os, "posix_fallocate", full)
    monkeypatch.setattr(building_module, "_AT_ONCE", 1)
    store = ChunkStore(backend.space.key, tmp_path)
    session = SimpleNamespace(backend=backend, pieces=pieces, store=store)
    built = build_chunks(session, TEXTS, window=8192)  # type: ignore[arg-type]
    with pytest.warns(RagkitWarning, match="no space, 1 times"):
        store.close()
    assert (built.built, built.left_out) == (1, 3)
    assert built.bytes == len(pieces.chunk(TEXTS[0])) * backend.token_bytes
    assert len(written) == 3, "what cannot be kept is not computed"
    with ChunkStore(backend.space.key, tmp_path) as store:
        assert len(store.index) == 2


def test_a_disk_smaller_than_memory_bounds_what_is_built(backend, pieces, tmp_path):
    room = sum(map(len, (pieces.prefix, pieces.chunk(TEXTS[0]), pieces.chunk(TEXTS[1])))) * backend.token_bytes
    with ChunkStore(backend.space.key, tmp_path, disk_bytes=room) as store:
        session = SimpleNamespace(backend=backend, pieces=pieces, store=store)
        built = build_chunks(session, TEXTS, window=8192)  # type: ignore[arg-type]
        assert (built.built, built.left_out) == (2, 2)
    with ChunkStore(backend.space.key, tmp_path, disk_bytes=room) as again:
        assert len(again.index) == 3, "the chunks and the prefix"


def test_only_what_is_there_in_the_end_is_said_to_be_built(backend, pieces, tmp_path, monkeypatch):
    """A remote store that claims to have room and keeps nothing: what comes later pushes out what came before."""
    remote = Forgetful(1 << 40)
    monkeypatch.setattr(building_module, "_AT_ONCE", 1)
    room = sum(len(pieces.chunk(text)) for text in TEXTS) * backend.token_bytes - 1
    with ChunkStore(backend.space.key, tmp_path, 0, room, remote) as store:
        session = SimpleNamespace(backend=backend, pieces=pieces, store=store)
        built = build_chunks(session, TEXTS, window=8192)  # type: ignore[arg-type]
    with ChunkStore(backend.space.key, tmp_path) as again:
        there = [one for one in again.index if one.prefix]
        assert (built.built, built.left_out) == (len(there), 4 - len(there))
        assert 0 < len(there) < 4
        assert built.bytes == sum(one.size for one in there)


class Forgetful(MemoryTier):
    """Says that it is there and keeps nothing."""

    name = "remote"

    def put(self, blobs):
        return set()


def test_nothing_is_built_of_nothing(session):
    assert build_chunks(session, [], window=8192) == Built()


def test_domains_are_built_apart(session):
    build_chunks(session, TEXTS[:1], domain="a", window=8192)
    assert build_chunks(session, TEXTS[:1], domain="b", window=8192).built == 1
