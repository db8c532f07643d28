"""The chunk store: what was saved comes back, after a restart, on a full disk and after any damage, or is a miss."""

from __future__ import annotations

import errno
import subprocess
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.variant import ChunkStatistics, Variant
from ragkit.cachecraft.home import stored_spaces
from ragkit.cachecraft.records import pack_variant, unpack_variant
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers import blob_file
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.errors import RagkitWarning
from tests.cachecraft.variants import SPACE, body, equal, plan_of, variant

MEGABYTE = 1_000_000


def filled(folder: Path | None, count: int = 5, **options) -> ChunkStore:
    store = ChunkStore(SPACE, folder, **{"memory_bytes": MEGABYTE, "disk_bytes": 10 * MEGABYTE, **options})
    for number in range(count):
        assert store.save(variant(number), body(number), always=True)
    return store


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=4, max_size=4),
    numbers=st.lists(st.integers(0, 2**40), min_size=3, max_size=3),
    ids=st.lists(st.integers(0, 2**31 - 1), max_size=50),
    floats=st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=20),
    known=st.booleans(),
)
def test_metadata_comes_back_bit_for_bit(texts, numbers, ids, floats, known):
    mass = np.array(floats, np.float64).astype(np.float32)
    statistics = ChunkStatistics(np.array(floats), floats[0], floats[1], mass, texts[3]) if known else None
    start, generation, size = numbers
    made = Variant(
        *texts[:2],
        np.array(ids, np.int32),
        texts[2],
        start,
        tuple(texts),
        (1, 2, 3, 4),
        generation,
        size,
        statistics,
        texts[0],
    )
    assert equal(unpack_variant(pack_variant(made)), made)
    assert unpack_variant(pack_variant(made)).size == size


@given(st.integers(0, 400), st.binary(max_size=4))
def test_a_broken_record_is_refused(place: int, noise: bytes):
    record = pack_variant(variant(1))
    with pytest.raises((ValueError, KeyError, TypeError)):
        unpack_variant(record[: min(place, len(record) - 1)] + noise[:3] + b"!")


@pytest.mark.parametrize("disk", [False, True])
def test_what_is_saved_is_found_by_chunk_and_loaded_by_name(tmp_path: Path, disk: bool):
    with filled(tmp_path if disk else None) as store:
        for number in range(5):
            (found,) = store.candidates(variant(number).chunk)
            assert equal(found, variant(number))
            assert found.size == 20_000
        names = [variant(number).name for number in range(6)]
        loaded = store.load(names)
        assert list(loaded) == names[:5]
        assert all(np.array_equal(loaded[names[number]], body(number)) for number in range(5))
        assert not store.candidates("nothing")
        stats = store.stats()
        assert (stats.variants, stats.chunks, stats.read_only, stats.failures) == (5, 5, False, {})
        assert stats.loads == {"memory": 5, "missing": 1}


def test_the_cache_survives_a_restart_with_what_its_variants_are_worth(tmp_path: Path):
    with filled(tmp_path, admission="reuse") as store:
        for _ in range(3):
            store.used(plan_of(variant(2), variant(4)))
        worth = [store.index.worth(variant(number).name) for number in range(5)]
        assert store.index.hot(2) == sorted([variant(2).chunk, variant(4).chunk])
    with ChunkStore(SPACE, tmp_path) as again:
        assert again.stats().variants == 5
        assert [again.index.worth(variant(n).name) for n in range(5)] == pytest.approx(worth, rel=1e-9)
        assert again.index.popularity(variant(2).chunk) == pytest.approx(3, rel=0.01)
        assert equal(again.candidates(variant(3).chunk)[0], variant(3))
        assert np.array_equal(again.load([variant(3).name])[variant(3).name], body(3))
        assert again.stats().loads == {"disk": 1}
    with ChunkStore(SPACE, tmp_path, memory_bytes=0, disk_bytes=50_000) as smaller:
        assert {one.name for one in smaller.index} == {variant(2).name, variant(4).name}
        assert len(list(tmp_path.rglob("*.kv"))) == 2


def test_the_store_of_another_model_is_empty_and_stays_whole(tmp_path: Path):
    with filled(tmp_path):
        pass
    with ChunkStore("6" * 32, tmp_path) as other:
        assert other.stats().variants == 0
        assert other.load([variant(0).name]) == {}
        assert other.save(variant(0, space="6" * 32), body(7), always=True)
    with ChunkStore("a space with / and ..", tmp_path) as odd:
        assert odd.save(variant(1), body(1), always=True)
    assert set(stored_spaces(tmp_path)) == {SPACE, "6" * 32, "a space with / and .."}
    with ChunkStore(SPACE, tmp_path) as again:
        assert again.stats().variants == 5
    own = tmp_path / ("6" * 32)
    for path in own.iterdir():  # the folder of another model under this one's name
        if path.name.startswith("catalog"):
            path.rename(tmp_path / SPACE / path.name)
    with ChunkStore(SPACE, tmp_path) as mixed:
        assert mixed.stats().variants == 0
        assert mixed.stats().failures == {"catalog: catalog moved aside": 1}


def test_admission_and_reasons_are_counted(tmp_path: Path):
    with ChunkStore(SPACE, tmp_path, memory_bytes=100_000, disk_bytes=100_000) as store:
        assert not store.save(variant(0), body(0))
        store.used(plan_of(reasons=((0, "no variant"), (3, "CFO"))))
        assert store.wanted(variant(0).chunk)
        assert store.save(variant(0), body(0))
        store.used(plan_of(variant(0), reasons=((1, "CFO"),)))
        stats = store.stats()
        assert stats.reused == 1
        assert stats.misses == {"CFO": 2, "no variant": 1}
        assert stats.hit_share == 0.25
        assert not store.save(variant(0), body(0), always=True)
        assert not store.save(variant(1), body(1, 100_001), always=True)
        for number in range(2, 9):
            assert store.save(variant(number), body(number), always=True)
        stats = store.stats()
        assert stats.variants == 5
        assert stats.evictions["index"] == 3
        assert store.flush(10)
        assert all(tier.used == 100_000 for tier in store.stats().tiers)
        store.clear()
        assert store.stats().variants == 0
        assert all(tier.used == 0 for tier in store.stats().tiers)
    assert not list(tmp_path.rglob("*.kv"))


def test_metadata_is_below_one_percent_of_usual_blobs(tmp_path: Path):
    """SmolLM2: 64 tokens of 22.5 KiB."""
    with ChunkStore(SPACE, tmp_path) as store:
        for number in range(10):
            store.save(variant(number), body(number, 64 * 23_040), always=True)
        store.flush()
        stats = store.stats()
    with ChunkStore(SPACE, tmp_path) as store:
        stats = store.stats()
        assert 0 < stats.overhead_bytes < 0.01 * sum(tier.used for tier in stats.tiers)


def test_pinned_variants_stay(tmp_path: Path):
    with ChunkStore(SPACE, tmp_path, memory_bytes=50_000, disk_bytes=50_000) as store:
        store.save(variant(0), body(0), always=True)
        with store.pinned([variant(0).name, "absent"]) as held:
            assert held == {variant(0).name}
            for number in range(1, 6):
                store.save(variant(number), body(number), always=True)
            assert len(store.load([variant(0).name])) == 1
        for number in range(6, 9):
            store.save(variant(number), body(number), always=True)
        assert not store.load([variant(0).name])


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "swap"])
def test_a_damaged_blob_is_a_miss_that_is_forgotten_and_saved_anew(tmp_path: Path, damage: str):
    with filled(tmp_path):
        pass
    one, other = sorted(tmp_path.rglob("*.kv"))[:2]
    content = bytearray(one.read_bytes())
    match damage:
        case "flip":
            content[10_000] ^= 1
            one.write_bytes(content)
        case "truncate":
            one.write_bytes(content[:-1])
        case "remove":
            one.unlink()
        case _:
            one.write_bytes(other.read_bytes())
    name = one.name.removesuffix(".kv")
    number = next(number for number in range(5) if variant(number).name == name)
    with ChunkStore(SPACE, tmp_path) as store:
        assert store.load([name]) == {}
        assert not store.candidates(variant(number).chunk)
        assert store.stats().variants == 4
        assert len(store.load([variant(n).name for n in range(5)])) == 4
        assert store.save(variant(number), body(number), always=True)
        assert np.array_equal(store.load([name])[name], body(number))


@pytest.mark.parametrize("damage", ["noise", "empty", "flips", "truncate", "remove"])
def test_a_damaged_catalog_is_moved_aside_or_loses_rows(tmp_path: Path, damage: str):
    with filled(tmp_path, 40):
        pass
    catalog = tmp_path / SPACE / "catalog.sqlite"
    content = bytearray(catalog.read_bytes())
    match damage:
        case "noise":
            catalog.write_bytes(b"noise" * 10_000)
        case "empty":
            catalog.write_bytes(b"")
        case "flips":
            for place in range(len(content) // 2, len(content), 5_000):
                content[place] ^= 0x10
            catalog.write_bytes(content)
        case "truncate":
            catalog.write_bytes(content[: len(content) // 2])
        case _:
            catalog.unlink()
    with ChunkStore(SPACE, tmp_path) as store:
        for one in store.index:
            number = next(number for number in range(40) if variant(number).name == one.name)
            assert equal(one, variant(number))
            assert np.array_equal(store.load([one.name])[one.name], body(number))
        assert len(list(tmp_path.rglob("*.kv"))) == store.stats().variants
        if damage in {"noise", "truncate", "flips"}:
            assert sum(store.stats().failures.values()) >= 1
        assert store.save(variant(99), body(99), always=True)
        assert store.flush(10)
    with ChunkStore(SPACE, tmp_path) as again:
        assert len(again.load([variant(99).name])) == 1


def test_any_flipped_byte_of_the_catalog_gives_true_metadata_or_none(tmp_path: Path):
    with filled(tmp_path, 6):
        pass
    catalog = tmp_path / SPACE / "catalog.sqlite"
    original = catalog.read_bytes()
    blobs = {path: path.read_bytes() for path in tmp_path.rglob("*.kv")}
    chance, lost = np.random.default_rng(3), 0
    for place in [*range(0, 100, 7), *chance.integers(0, len(original), 60).tolist()]:
        content = bytearray(original)
        content[place] ^= 1 << int(chance.integers(0, 8))
        for left in (tmp_path / SPACE).glob("catalog*"):
            left.unlink()
        catalog.write_bytes(content)
        for path, blob in blobs.items():
            path.write_bytes(blob)
        with ChunkStore(SPACE, tmp_path) as store:
            assert all(any(equal(one, variant(number)) for number in range(6)) for one in store.index)
            lost += 6 - len(store.index)
    assert lost


def test_what_is_noted_does_not_grow_without_a_folder():
    with filled(None, 2) as store:
        for _ in range(64):
            store.used(plan_of(variant(0), variant(1)))
        assert not store._noted


def test_a_disk_that_is_full_leaves_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(blob_file.os, "posix_fallocate", full)
    store = filled(tmp_path)
    store.flush(10)
    assert store.stats().failures == {"disk: no space": 5}
    names = [variant(number).name for number in range(5)]
    assert len(store.load(names)) == 5
    assert not any(store.lasting(names))
    with pytest.warns(RagkitWarning, match="no space, 5 times"):
        store.close()
    with ChunkStore(SPACE, tmp_path) as again:
        assert again.stats().variants == 0


def test_a_folder_that_cannot_be_made_leaves_memory(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.warns(RagkitWarning, match="cannot be written"):
        opened = filled(tmp_path / "file" / "folder")
    with opened as store:
        store.flush(10)
        assert len(store.load([variant(number).name for number in range(5)])) == 5
        assert store.read_only
        assert any(reason.startswith("folder: ") for reason in store.stats().failures)


def test_a_second_store_reads_and_keeps_what_is_new_in_memory(tmp_path: Path):
    with filled(tmp_path) as first:
        first.flush(10)
        second = ChunkStore(SPACE, tmp_path)
        assert second.read_only
        assert second.stats().variants == 5
        assert len(second.load([variant(number).name for number in range(5)])) == 5
        with pytest.warns(RagkitWarning, match="Another process"):  # not before something new is kept
            assert second.save(variant(7), body(7), always=True)
        assert np.array_equal(second.load([variant(7).name])[variant(7).name], body(7))
        second.used(plan_of(variant(7)))
        second.clear()
        second.close()
        assert first.stats().variants == 5
        assert len(list(tmp_path.rglob("*.kv"))) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ChunkStore(SPACE, tmp_path) as third:
            assert not third.read_only
            assert third.stats().variants == 5


def test_a_remote_tier_serves_what_the_disk_has_lost(tmp_path: Path):
    remote = MemoryTier(10 * MEGABYTE)
    remote.name = "remote"
    with filled(tmp_path, remote=remote, memory_bytes=0) as store:
        store.flush(10)
        assert len(remote.names()) == 5
        for path in tmp_path.rglob("*.kv"):
            path.unlink()
        assert len(store.load([variant(number).name for number in range(5)])) == 5
        assert store.stats().loads == {"remote": 5}
        store.prefetch([variant(0).name, "absent"])


def test_threads_share_a_store(tmp_path: Path):
    with ChunkStore(SPACE, tmp_path, memory_bytes=100_000, disk_bytes=200_000) as store:
        wrong = threading.Event()

        def work(seed: int) -> None:
            chance = np.random.default_rng(seed)
            for _ in range(60):
                number = int(chance.integers(0, 20))
                one = variant(number)
                for found in store.load([one.name]).values():
                    if not np.array_equal(found, body(number)):
                        wrong.set()
                with store.pinned([one.name]):
                    store.save(one, body(number), always=bool(chance.integers(0, 2)))
                store.prefetch([variant(int(chance.integers(0, 20))).name])
                store.used(plan_of(one))
                if any(tier.used > tier.capacity for tier in store.stats().tiers):
                    wrong.set()

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        assert not wrong.is_set()
        assert store.flush(10)
        names = set(store.load([one.name for one in store.index]))
        assert {one.name for one in store.index} == names
    with ChunkStore(SPACE, tmp_path) as again:
        assert {one.name for one in again.index} == names
        assert set(again.load(sorted(names))) == names


def test_nothing_that_is_stored_is_lost_when_the_disk_is_exactly_as_large(tmp_path: Path):
    chance = np.random.default_rng(1)
    with ChunkStore(SPACE, tmp_path, memory_bytes=45_000, disk_bytes=200_000) as store:
        for _ in range(300):
            number = int(chance.integers(0, 25))
            store.save(variant(number), body(number), always=True)
        assert store.flush(10)
        names = {one.name for one in store.index}
        assert len(names) == 10
        assert set(store.load(sorted(names))) == names
        assert store.stats().evictions["disk"] == 0


def test_a_file_system_that_fills_up_leaves_memory(tmp_path: Path):
    """Blobs and catalog share 1 MiB, where this process may mount such a file system."""
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], check=False, stderr=-3)
    if done.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        with pytest.warns(RagkitWarning, match="no space"), filled(mount, 100) as store:  # noqa: PT031 - on closing
            store.flush(30)
            failures = store.stats().failures
            assert failures["disk: no space"] > 50
            there = store.load([variant(number).name for number in range(100)])
            assert all(np.array_equal(there[variant(n).name], body(n)) for n in range(100) if variant(n).name in there)
            assert len(there) >= 50  # what memory holds
        with ChunkStore(SPACE, mount) as again:
            names = [one.name for one in again.index]
            assert set(again.load(names)) == set(names)
    finally:
        subprocess.run(["umount", str(mount)], check=True)
