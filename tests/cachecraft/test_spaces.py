"""What looks at a store's folder changes nothing, and what empties it says where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.cachecraft.gate_file import GateFile
from ragkit.cachecraft.spaces import clear_spaces, space_stats
from ragkit.cachecraft.store import ChunkStore
from ragkit.config import KvReuseConfig
from ragkit.errors import IndexLockedError, RagkitWarning, StorageError
from tests.cachecraft.variants import SPACE, body, variant


def fill(folder: Path) -> None:
    with ChunkStore(SPACE, folder, 1 << 20, 1 << 20) as store:
        for number in range(5):
            assert store.save(variant(number), body(number), always=True)


def bounded(folder: Path, size: int) -> KvReuseConfig:
    return KvReuseConfig(store=str(folder), memory_bytes=size, disk_bytes=size)


def test_a_look_at_a_store_larger_than_the_settings_changes_nothing_in_it(tmp_path):
    fill(tmp_path)
    (found,) = space_stats(bounded(tmp_path, 40_000))
    assert (found.stats.variants, found.stats.tiers[1].used) == (5, 100_000)
    assert len(list(tmp_path.rglob("*.kv"))) == 5
    with ChunkStore(SPACE, tmp_path, 1 << 20, 1 << 20) as store:
        assert len(store.index) == 5


def test_a_look_at_a_store_neither_waits_for_its_writer_nor_keeps_others_from_writing(tmp_path, recwarn):
    fill(tmp_path)
    with (
        ChunkStore(SPACE, tmp_path, 1 << 20, 1 << 20, read_only=True) as seen,
        ChunkStore(SPACE, tmp_path, 1 << 20, 1 << 20) as writer,
    ):
        assert not writer.read_only
        assert seen.load([variant(1).name]).keys() == {variant(1).name}
        assert seen.save(variant(7), body(7), always=True)
        seen.clear()
        assert len(writer.index) == 5
        (found,) = space_stats(bounded(tmp_path, 1 << 20))
        assert found.stats.variants == 5
    assert len(list(tmp_path.rglob("*.kv"))) == 5
    assert not [one for one in recwarn if issubclass(one.category, RagkitWarning)]


def test_everything_is_cleared_and_counted_whatever_the_settings(tmp_path):
    fill(tmp_path)
    assert clear_spaces(bounded(tmp_path, 40_000)) == (5, 100_000)
    assert not list(tmp_path.rglob("*.kv"))


def test_a_store_that_another_process_writes_is_not_said_to_be_cleared(tmp_path):
    fill(tmp_path)
    with (
        ChunkStore(SPACE, tmp_path, 1 << 20, 1 << 20),
        pytest.warns(RagkitWarning),
        pytest.raises(IndexLockedError, match="Another process"),
    ):
        clear_spaces(bounded(tmp_path, 1 << 20))
    assert len(list(tmp_path.rglob("*.kv"))) == 5


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / SPACE).write_text("a file where a folder should be")
    with pytest.warns(RagkitWarning, match="cannot be written"):
        opened = ChunkStore(SPACE, tmp_path, 1 << 20)
    with opened as store:
        assert store.save(variant(1), body(1), always=True), "memory is there"
        with pytest.raises(StorageError, match="cannot be written"):
            store.check_writer()


def test_a_gate_file_that_cannot_be_removed_is_left(tmp_path):
    (tmp_path / "gate.json").mkdir()
    GateFile(tmp_path).clear()
