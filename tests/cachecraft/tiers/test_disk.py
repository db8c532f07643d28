"""The disk tier against damage, a full disk, refusals, kills and other processes: a miss each time, and counted."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.cachecraft.tiers import blob_file
from ragkit.cachecraft.tiers.codec import PAGE
from ragkit.cachecraft.tiers.disk import DiskTier
from tests.cachecraft.tiers.blobs import blob, same

SIZE = 9_000


def only_file(folder: Path) -> Path:
    (path,) = (folder / "blobs").rglob("*.kv")
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    DiskTier(folder, 10**6, scope="space").put({"name": blob(SIZE)})
    return folder


def reread(original: Path, folder: Path, change, *, direct: bool) -> DiskTier:
    """Return a tier over a copy whose only file went through `change`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    path = only_file(folder)
    path.write_bytes(change(path.read_bytes()))
    return DiskTier(folder, 10**6, scope="space", direct=direct)


@given(place=st.integers(0, PAGE + SIZE - 1), change=st.integers(1, 255), direct=st.booleans())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_altered_byte_is_a_miss(original: Path, tmp_path: Path, place: int, change: int, direct: bool):
    def flip(content: bytes) -> bytes:
        return content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]

    tier = reread(original, tmp_path / "copy", flip, direct=direct)
    assert tier.get(["name"]) == [None]
    assert sum(tier.failures.values()) == 1
    assert tier.used == 0
    assert not list((tmp_path / "copy" / "blobs").rglob("*.kv"))
    tier.close()


@given(length=st.integers(0, PAGE + 2 * SIZE).filter(lambda length: length != PAGE + SIZE), direct=st.booleans())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_another_length_is_a_miss(original: Path, tmp_path: Path, length: int, direct: bool):
    tier = reread(original, tmp_path / "copy", lambda content: content.ljust(length, b"\0")[:length], direct=direct)
    assert tier.get(["name"]) == [None]
    assert sum(tier.failures.values()) == 1
    tier.close()


def test_swapped_files_and_files_of_another_model_are_misses(tmp_path: Path):
    tier = DiskTier(tmp_path, 10**6, scope="space", threads=1)
    tier.put({"a": blob(SIZE), "b": blob(SIZE, 1)})
    one, other = sorted((tmp_path / "blobs").rglob("*.kv"))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    assert tier.get(["a", "b"]) == [None, None]
    assert tier.failures == {"another blob": 2}
    tier.put({"a": blob(SIZE)})
    stranger = DiskTier(tmp_path, 10**6, scope="space of another model")
    assert stranger.get(["a"]) == [None]
    assert stranger.failures == {"another blob": 1}


def test_a_sparse_giant_is_not_even_allocated(original: Path, tmp_path: Path):
    tier = reread(original, tmp_path / "copy", lambda content: content, direct=True)
    os.truncate(only_file(tmp_path / "copy"), 1 << 40)
    assert tier.get(["name"]) == [None]
    assert tier.failures == {"truncated": 1}


def test_a_file_that_is_gone_and_one_that_is_a_link_are_misses(tmp_path: Path):
    tier = DiskTier(tmp_path / "tier", 10**6)
    tier.put({"a": blob(SIZE)})
    path = only_file(tmp_path / "tier")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert tier.get(["a"]) == [None]
    tier.put({"a": blob(SIZE)})
    path.unlink()
    assert tier.get(["a"]) == [None]
    assert tier.failures == {"gone": 1, "input/output": 1}


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.EACCES, errno.ENOMEM])
@pytest.mark.parametrize("stepwise", [False, True])
def test_what_the_system_refuses_for_the_moment_costs_no_file(tmp_path: Path, monkeypatch, code: int, stepwise: bool):
    tier = DiskTier(tmp_path, 10**6)
    tier.put({"a": blob(SIZE)})

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(blob_file.os, "open", refuse)
        if stepwise:
            with pytest.raises(OSError, match=os.strerror(code)) as raised:
                tier.readers(["a"])["a"].step(1)
            tier.failed("a", raised.value)
        else:
            assert tier.get(["a"]) == [None]
    assert tier.may_have(["a", "b"]) == [True, False]
    assert sum(tier.failures.values()) == 1
    assert same(tier.get(["a"])[0], blob(SIZE))


def test_a_folder_where_a_blob_belongs_makes_way(tmp_path: Path):
    tier = DiskTier(tmp_path, 10**6)
    tier.put({"a": blob(SIZE)})
    path = only_file(tmp_path)
    path.unlink()
    (path / "inside").mkdir(parents=True)
    (tmp_path / "temporary" / "left").mkdir()
    assert tier.get(["a"]) == [None]
    assert not tier.may_have(["a"])[0]
    (path / "inside").mkdir(parents=True, exist_ok=True)
    again = DiskTier(tmp_path, 10**6)
    assert again.listed
    assert again.put({"a": blob(SIZE)}) == {"a"}
    assert same(again.get(["a"])[0], blob(SIZE))
    assert not again.failures


def test_it_tells_what_it_had_no_room_for(tmp_path: Path):
    heard: list[str] = []
    tier = DiskTier(tmp_path, 25_000, evicted=heard.extend)
    tier.put({"a": blob(10_000)})
    tier.put({"b": blob(10_000)})
    assert not heard
    tier.put({"c": blob(20_000)})
    assert heard == ["a", "b"]
    tier.close()
    smaller = DiskTier(tmp_path, 5_000, evicted=heard.extend)
    smaller.trim()
    assert heard == ["a", "b", "c"]


def test_it_is_cleared_whole_or_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tier = DiskTier(tmp_path, 10**6)
    tier.put({"a": blob(10), "b": blob(10)})
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))
        assert not tier.clear()
    again = DiskTier(tmp_path, 10**6)
    assert again.clear()
    assert not list((tmp_path / "blobs").rglob("*.kv"))


def test_it_reopens_with_everything_and_bounded(tmp_path: Path):
    first = DiskTier(tmp_path, 100_000)
    first.put({f"n{number}": blob(10_000, number) for number in range(8)})
    first.close()
    again = DiskTier(tmp_path, 100_000)
    assert again.used == 80_000
    assert all(same(one, blob(10_000, number)) for number, one in enumerate(again.get([f"n{n}" for n in range(8)])))
    again.close()
    smaller = DiskTier(tmp_path, 25_000)
    smaller.trim()
    assert smaller.used == 20_000
    assert len(list((tmp_path / "blobs").rglob("*.kv"))) == 2


class FullDisk:
    """Stands for the operating system's writes on a disk that takes `room` more bytes."""

    def __init__(self, room: int, code: int):
        self.room, self.code, self.write = room, code, os.write

    def __call__(self, descriptor: int, data) -> int:
        if self.room <= 0:
            raise OSError(self.code, os.strerror(self.code))
        written = self.write(descriptor, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.ENOSPC, "no space"), (errno.EDQUOT, "no space"), (errno.EIO, "input/output"), (errno.EACCES, "denied")],
)
@pytest.mark.parametrize("room", [0, 100, PAGE, PAGE + 100, PAGE + SIZE - 1])
def test_a_write_that_fails_anywhere_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str, room: int
):
    tier = DiskTier(tmp_path, 10**6)
    tier.put({"old": blob(SIZE, 1)})
    monkeypatch.setattr(blob_file.os, "write", FullDisk(room, code))
    assert tier.put({"new": blob(SIZE)}) == set()
    monkeypatch.undo()
    assert tier.failures == {reason: 1}
    assert tier.used == SIZE
    assert not list((tmp_path / "temporary").iterdir())
    assert tier.get(["new"]) == [None]
    assert same(tier.get(["old"])[0], blob(SIZE, 1))


@pytest.mark.parametrize("call", ["open", "posix_fallocate", "fsync", "preadv", "fstat"])
def test_each_call_to_the_disk_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    tier = DiskTier(tmp_path, 10**6, sync=True)
    tier.put({"old": blob(SIZE, 1)})

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(blob_file.os, call, fail)
    assert tier.put({"new": blob(SIZE)}) in (set(), {"new"})
    found = tier.get(["old"])[0]
    monkeypatch.undo()
    assert found is None or same(found, blob(SIZE, 1))
    assert tier.failures["input/output"] >= 1
    assert not list((tmp_path / "temporary").iterdir())


def test_a_really_full_file_system(tmp_path: Path):
    """On a file system of 1 MiB, where this process may mount one."""
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], check=False, stderr=-3)
    if done.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        tier = DiskTier(mount, 10**8)
        kept = tier.put({f"n{number}": blob(200_000, number) for number in range(10)})
        assert 3 <= len(kept) <= 5
        assert tier.failures == {"no space": 10 - len(kept)}
        assert all(same(tier.get([name])[0], blob(200_000, int(name[1:]))) for name in kept)
        tier.close()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_folder_that_cannot_be_made_is_an_empty_tier(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    tier = DiskTier(tmp_path / "file" / "folder", 10**6)
    assert tier.put({"a": blob(10), "b": blob(20)}) == set()
    assert tier.get(["a"]) == [None]
    assert tier.failures["input/output"] == 3


def test_a_reader_leaves_the_folder_as_it_is(tmp_path: Path):
    writer = DiskTier(tmp_path, 10**6)
    writer.put({"a": blob(SIZE), "b": blob(SIZE, 1)})
    (tmp_path / "temporary" / "being written").write_text("by the writer")
    reader = DiskTier(tmp_path, 10, read_only=True)
    assert reader.put({"c": blob(10)}) == set()
    reader.delete(["a"])
    assert reader.get(["a"]) == [None]
    assert same(writer.get(["a"])[0], blob(SIZE))
    assert (tmp_path / "temporary" / "being written").exists()
    assert DiskTier(tmp_path, 10**6).names()
    assert not list((tmp_path / "temporary").iterdir())


def test_threads_share_it(tmp_path: Path):
    tier = DiskTier(tmp_path, 60_000)

    def work(seed: int) -> int:
        chance, wrong = random.Random(seed), 0
        for _ in range(60):
            number = chance.randrange(12)
            match chance.randrange(3):
                case 0:
                    tier.put({f"n{number}": blob(8_000, number), f"m{number}": blob(3_000, number)})
                case 1:
                    found = tier.get([f"n{number}", f"m{number}"])
                    sizes = (8_000, 3_000)
                    wrong += sum(one is not None and not same(one, blob(s, number)) for one, s in zip(found, sizes))  # noqa: B905
                case _:
                    tier.delete([f"n{number}"])
            wrong += tier.used > 60_000
        return wrong

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(work, range(6))) == 0
    there = list((tmp_path / "blobs").rglob("*.kv"))
    assert len(there) == len(tier.names())
    assert tier.used == sum(path.stat().st_size - PAGE for path in there)


WRITER = """
import sys
from pathlib import Path
from ragkit.cachecraft.tiers.disk import DiskTier
from tests.cachecraft.tiers.blobs import blob
tier = DiskTier(Path(sys.argv[1]), 10**8)
print("ready", flush=True)
number = 0
while True:
    tier.put({f"n{number % 40}": blob(300_000, number % 40)})
    number += 1
"""


def test_a_killed_writer_leaves_whole_blobs_only(tmp_path: Path):
    chance = random.Random(6)
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.15))
        child.kill()
        child.wait()
        tier = DiskTier(tmp_path, 10**8)
        names = tier.names()
        assert all(same(one, blob(300_000, int(name[1:]))) for name, one in zip(names, tier.get(names), strict=True))
        assert not tier.failures
        assert not list((tmp_path / "temporary").iterdir())
        tier.close()
