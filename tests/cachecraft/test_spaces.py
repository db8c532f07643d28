"""What looks at a store's folder changes nothing, and what empties it says where it cannot."""

from __future__ import annotations

import signal
import warnings
from pathlib import Path

import pytest
from valkey import Valkey

from ragkit.cachecraft.gate_file import GateFile
from ragkit.cachecraft.settings import open_store
from ragkit.cachecraft.spaces import clear_spaces, space_stats
from ragkit.cachecraft.store import ChunkStore
from ragkit.config import KvReuseConfig
from ragkit.errors import IndexLockedError, RagkitWarning, StorageError
from tests.cachecraft.tiers.servers import running_server
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
    with ChunkStore(SPACE, tmp_path, 1 << 20, 1 << 20), warnings.catch_warnings():
        warnings.simplefilter("error")  # that what is new is kept in memory would be beside the point
        with pytest.raises(IndexLockedError, match="Another process"):
            clear_spaces(bounded(tmp_path, 1 << 20))
    assert len(list(tmp_path.rglob("*.kv"))) == 5


@pytest.mark.parametrize("damage", ["noise", "empty", "remove", "moved aside"])
def test_a_space_whose_catalog_cannot_be_read_is_shown_and_cleared(tmp_path, damage):
    fill(tmp_path)
    catalog = tmp_path / SPACE / "catalog.sqlite"
    match damage:
        case "noise":
            catalog.write_bytes(b"noise" * 10_000)
        case "empty":
            catalog.write_bytes(b"")
        case "remove":
            catalog.unlink()
        case _:
            (tmp_path / SPACE / "catalog.sqlite.broken-1").write_bytes(b"noise")
    settings = bounded(tmp_path, 1 << 20)
    (found,) = space_stats(settings)
    assert found.space == SPACE
    assert next(one.used for one in found.stats.tiers if one.name == "disk") == 100_000
    assert ("catalog: off" in found.stats.failures) == (damage != "moved aside")
    assert clear_spaces(settings) == (5, 100_000)
    assert not list(tmp_path.rglob("*.kv"))
    assert not list(tmp_path.rglob("*.broken-*"))
    assert not space_stats(settings)[0].stats.failures


def test_folders_of_something_else_are_left_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    assert not space_stats(bounded(tmp_path, 1 << 20))
    assert clear_spaces(bounded(tmp_path, 1 << 20)) == (0, 0)
    assert (tmp_path / "notes" / "mine.txt").exists()


def test_a_remote_store_is_emptied_or_said_not_to_be(tmp_path):
    with running_server() as (port, process):
        settings = bounded(tmp_path, 1 << 20).model_copy(
            update={"remote": f"valkey://127.0.0.1:{port}", "remote_seconds": 0.5}
        )
        with open_store(settings, SPACE) as store:
            for number in range(5):
                assert store.save(variant(number), body(number), always=True)
        (found,) = space_stats(settings)
        assert (found.stats.tiers[2].blobs, found.stats.tiers[2].used) == (5, 100_000), "as the server says"
        process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(StorageError, match=f"5 variants were removed.*remote store.*{SPACE}"):
                clear_spaces(settings)
        finally:
            process.send_signal(signal.SIGCONT)
        assert not list(tmp_path.rglob("*.kv"))
        client = Valkey(port=port)
        assert client.dbsize() > 5
        assert clear_spaces(settings) == (0, 0)
        assert client.dbsize() == 0


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / SPACE).write_text("a file where a folder should be")
    with ChunkStore(SPACE, tmp_path, 1 << 20) as store:
        with pytest.warns(RagkitWarning, match="cannot be written"):
            assert store.save(variant(1), body(1), always=True), "memory is there"
        with pytest.raises(StorageError, match="cannot be written"):
            store.check_writer()


def test_a_gate_file_that_cannot_be_removed_is_left(tmp_path):
    (tmp_path / "gate.json").mkdir()
    GateFile(tmp_path).clear()
