"""Blobs used from the front while they are read: what was waited for is right, and what is lost is said to be."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.cachecraft.tiers import arriving
from ragkit.cachecraft.tiers.arriving import Batch, LostError, ReadingTier
from ragkit.cachecraft.tiers.codec import PAGE
from ragkit.cachecraft.tiers.disk import DiskTier
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.cachecraft.tiers.tier import Blob
from ragkit.cachecraft.tiers.tiered import Tiered
from tests.cachecraft.tiers.blobs import blob, same

SIZE = 700_001
STEP = 100_000


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(arriving, "_STEP", STEP)


class Slow:
    """A reader that waits before each step for its gate, and may break."""

    def __init__(self, name: str, size: int = SIZE, broken_at: int | None = None) -> None:
        self.name, self.size, self.ready = name, size, 0
        self.source = blob(size)
        self.blob = np.zeros(size, np.uint8)
        self.gate = threading.Semaphore(0)
        self.closed = threading.Event()
        self._broken_at = size + 1 if broken_at is None else broken_at

    def step(self, least: int) -> None:
        self.gate.acquire()
        end = min(self.size, self.ready + least)
        if end >= self._broken_at:
            raise OSError("the disk is gone")
        self.blob[self.ready : end] = self.source[self.ready : end]
        self.ready = end

    def close(self) -> None:
        self.closed.set()


class Heard:
    """What a batch told: the blobs that came, and why others did not."""

    def __init__(self) -> None:
        self.done: dict[str, Blob] = {}
        self.failed: dict[str, Exception] = {}

    def batch(self, *readers: Slow, patience: float = 20.0) -> Batch:
        return Batch(readers, self.done.__setitem__, self.failed.__setitem__, patience=patience)


def test_the_front_is_there_before_the_rest_is_read():
    heard, reader = Heard(), Slow("a")
    one = heard.batch(reader).arriving["a"]
    for end in (STEP, 2 * STEP):
        reader.gate.release()
        one.wait(end)
        assert same(one.blob[:end], reader.source[:end])
    assert not one.complete
    assert one.finished is None
    reader.gate.release(20)
    one.wait(SIZE)
    assert one.complete
    assert same(one.blob, reader.source)
    assert reader.closed.wait(5)
    assert list(heard.done) == ["a"]


def test_what_breaks_half_way_is_lost_from_there_on_and_the_others_come():
    heard, good, bad = Heard(), Slow("good"), Slow("bad", broken_at=3 * STEP)
    coming = heard.batch(good, bad).arriving
    good.gate.release(20)
    bad.gate.release(20)
    with pytest.raises(LostError, match="the disk is gone") as lost:
        coming["bad"].wait(SIZE)
    assert not lost.value.late
    coming["bad"].wait(2 * STEP)  # what came is right
    coming["good"].wait(SIZE)
    assert set(heard.failed) == {"bad"}
    assert bad.closed.wait(5)


def test_what_hangs_is_late_and_given_up():
    heard, reader = Heard(), Slow("a")
    batch = heard.batch(reader, patience=0.05)
    with pytest.raises(LostError, match=r"0 of 700,001 bytes") as lost:
        batch.arriving["a"].wait(1)
    assert lost.value.late
    batch.give_up()
    assert isinstance(heard.failed["a"], TimeoutError)
    reader.gate.release(20)  # it wakes up: nobody wants it any more
    assert reader.closed.wait(5)
    assert not heard.done
    with pytest.raises(LostError):
        batch.arriving["a"].wait(SIZE)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_blobs_come_evenly(monkeypatch, threads):
    """Large and small ones are about as far in parts of their size; several threads may be held up, each with one."""
    monkeypatch.setattr(arriving, "_THREADS", threads)
    readers = [Slow(f"n{number}", SIZE * (1 + number % 3)) for number in range(7)]
    spread = []

    def watched(reader: Slow) -> Callable[[int], None]:
        step = reader.step

        def watching(least: int) -> None:
            parts = [one.ready / one.size for one in readers]
            spread.append((max(parts) - min(parts)) / (STEP / SIZE))
            step(least)

        return watching

    for reader in readers:
        reader.step = watched(reader)  # type: ignore[method-assign]
        reader.gate.release(40)
    heard = Heard()
    batch = heard.batch(*readers)
    for one in batch.arriving.values():
        one.wait(one.size)
    assert len(spread) == sum(-(-reader.size // STEP) for reader in readers)
    if threads == 1:
        assert max(spread) < 1.01, "in steps of the smallest"


def test_one_that_hangs_holds_up_no_other(monkeypatch):
    monkeypatch.setattr(arriving, "_THREADS", 2)
    readers = [Slow(f"n{number}") for number in range(5)]
    for reader in readers[1:]:
        reader.gate.release(40)
    batch = Heard().batch(*readers)
    for reader in readers[1:]:
        batch.arriving[reader.name].wait(SIZE)
    assert not batch.arriving["n0"].complete
    readers[0].gate.release(40)


# Over the disk


def tiered(folder: Path, memory: int = 10**8) -> tuple[Tiered, DiskTier]:
    disk = DiskTier(folder, 10**8)
    return Tiered(MemoryTier(memory), [disk], patience=20.0), disk


def test_the_disk_reads_in_steps_and_what_has_come_moves_to_memory(tmp_path):
    DiskTier(tmp_path, 10**8).put({"a": blob(SIZE), "b": blob(SIZE, 1)})
    tiers, disk = tiered(tmp_path)
    assert isinstance(disk, ReadingTier)
    batch = tiers.arrive(["a", "b", "a", "missing"])
    assert set(batch.arriving) == {"a", "b"}
    for name, seed in (("a", 0), ("b", 1)):
        batch.arriving[name].wait(SIZE)
        assert same(batch.arriving[name].blob, blob(SIZE, seed))
        assert not batch.arriving[name].blob.flags.writeable
    wait_for(lambda: tiers.memory.exists(["a", "b"]) == [True, True])
    assert tiers.arrive(["a", "b"]) is None, "nothing is left to read"
    assert tiers.hits == {"disk": 2}
    assert not disk.failures
    tiers.close()


def test_what_waits_to_be_written_is_not_read(tmp_path):
    tiers, _ = tiered(tmp_path, memory=0)
    release = threading.Event()
    write = tiers._slower[0].tier.put
    tiers._slower[0].tier.put = lambda blobs: (release.wait(20), write(blobs))[1]
    tiers.put({"a": blob(SIZE)})
    assert tiers.arrive(["a"]) is None
    release.set()
    assert tiers.flush(10)
    assert set(tiers.arrive(["a"]).arriving) == {"a"}
    tiers.close()


def test_without_a_tier_that_reads_in_steps_there_is_nothing_on_its_way():
    assert Tiered(MemoryTier(100)).arrive(["a"]) is None
    assert Tiered(MemoryTier(100), [MemoryTier(100)]).arrive(["a"]) is None


@pytest.mark.parametrize("direct", [True, False])
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300_000), st.sampled_from(["flip", "cut", "longer", "swap", "gone", "nothing"]), st.data())
def test_any_damage_is_lost_and_never_wrong_bytes(tmp_path_factory, direct, size, damage, data):
    folder = tmp_path_factory.mktemp("store")
    tier = DiskTier(folder, 10**8, direct=direct)
    tier.put({"a": blob(size), "b": blob(size, 1)})
    path = next(path for path in folder.rglob("a.kv"))
    hurt = bytearray(path.read_bytes())
    match damage:
        case "flip":
            hurt[data.draw(st.integers(0, len(hurt) - 1))] ^= data.draw(st.integers(1, 255))
        case "cut":
            del hurt[data.draw(st.integers(0, len(hurt) - 1)) :]
        case "longer":
            hurt += bytes(data.draw(st.integers(1, 2 * PAGE)))
        case "swap":
            hurt[:] = next(folder.rglob("b.kv")).read_bytes()
    path.write_bytes(hurt)
    if damage == "gone":
        path.unlink()
    batch = Batch(list(tier.readers(["a"]).values()), lambda *_: None, tier.failed, patience=20.0)
    one, got, late = batch.arriving["a"], 0, None
    try:
        for end in range(0, size + 50_000, 50_000):
            one.wait(min(end, size))
            got = min(end, size)
    except LostError as lost:
        late = lost.late
    assert late is (None if damage == "nothing" else False)
    assert sorted(tier.names()) == (["a", "b"] if damage == "nothing" else ["b"])
    assert sum(tier.failures.values()) == (damage != "nothing")
    assert same(one.blob[:got], blob(size)[:got]), "what was given out was right"
    tier.close()


def wait_for(said: Callable[[], bool]) -> None:
    """Wait until something is so."""
    done = threading.Event()
    for _ in range(500):
        if said():
            return
        done.wait(0.01)
    raise AssertionError("it never came to that")
