"""Tiers together: written through, promoted, loaded ahead; a tier that fails costs what it held and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.cachecraft.tiers.disk import DiskTier
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.cachecraft.tiers.tier import Blob
from ragkit.cachecraft.tiers.tiered import Tiered
from tests.cachecraft.tiers.blobs import blob, same


def test_what_memory_lets_go_comes_back_from_disk_and_moves_up(tmp_path: Path):
    tiers = Tiered(MemoryTier(2500), [DiskTier(tmp_path, 10**6)])
    tiers.put({f"n{number}": blob(1000, number) for number in range(5)})
    assert tiers.flush(10)
    assert tiers.memory.names() == ["n3", "n4"]
    assert all(same(one, blob(1000, number)) for number, one in enumerate(tiers.get([f"n{n}" for n in range(5)])))
    assert tiers.hits == {"disk": 3, "memory": 2}
    tiers.get(["n2"])
    assert tiers.get(["absent"]) == [None]
    assert tiers.hits["missing"] == 1
    assert same(tiers.get(["n2"])[0], blob(1000, 2))
    tiers.close()


def test_a_hit_in_the_slowest_tier_moves_up_to_all(tmp_path: Path):
    slowest = MemoryTier(10**6)
    slowest.name = "remote"
    slowest.put({"a": blob(1000)})
    disk = DiskTier(tmp_path, 10**6)
    tiers = Tiered(MemoryTier(10**6), [disk, slowest])
    assert same(tiers.get(["a"])[0], blob(1000))
    assert tiers.hits == {"remote": 1}
    assert tiers.flush(10)
    assert disk.exists(["a"]) == [True]
    assert tiers.memory.exists(["a"]) == [True]


class Gate(MemoryTier):
    """Gives blobs when it is let go, and counts how often it was asked."""

    name = "gate"

    def __init__(self) -> None:
        super().__init__(10**6)
        self.asked = 0
        self.begun, self.go = threading.Event(), threading.Event()

    def get(self, names: Sequence[str]) -> list[Blob | None]:
        self.asked += 1
        self.begun.set()
        assert self.go.wait(10)
        return super().get(names)


def test_prefetch_does_not_block_and_is_not_done_twice():
    gate = Gate()
    MemoryTier.put(gate, {"a": blob(1000)})
    tiers = Tiered(MemoryTier(10**6), [gate])
    for _ in range(3):
        tiers.prefetch(["a"])
    assert gate.begun.wait(10)
    threading.Timer(0.05, gate.go.set).start()
    assert same(tiers.get(["a"])[0], blob(1000))
    assert gate.asked == 1
    assert tiers.hits == {"memory": 1}
    tiers.prefetch(["a"])
    assert gate.asked == 1
    tiers.close()


def test_a_prefetch_that_has_not_begun_is_done_by_the_one_who_needs_it():
    gate = Gate()
    MemoryTier.put(gate, {"a": blob(1000), "b": blob(1000, 1)})
    tiers = Tiered(MemoryTier(10**6), [gate], threads=1)
    tiers.prefetch(["a", "b"])
    assert gate.begun.wait(10)
    threading.Timer(0.05, gate.go.set).start()
    assert same(tiers.get(["b"])[0], blob(1000, 1))
    tiers.close()


def test_a_tier_that_keeps_nothing_costs_nothing_else(tmp_path: Path):
    (tmp_path / "file").touch()
    heard = dict[str, bool]()
    tiers = Tiered(MemoryTier(1500), [DiskTier(tmp_path / "file" / "x", 10**6)], written=heard.__setitem__)
    assert tiers.put({"a": blob(1000)}) == {"a"}
    assert tiers.flush(10)
    assert heard == {"a": False}
    assert same(tiers.get(["a"])[0], blob(1000))
    tiers.put({"b": blob(1000)})
    tiers.flush(10)
    assert tiers.get(["a"]) == [None]
    assert any(reason.startswith("disk: ") for reason in tiers.failures)


@given(
    st.lists(st.tuples(st.sampled_from(["put", "get", "delete", "prefetch", "flush"]), st.integers(0, 5)), max_size=25),
    st.integers(0, 3000),
)
@settings(max_examples=40)
def test_any_sequence_gives_what_was_put_last(tmp_path_factory, steps: list[tuple[str, int]], memory: int):
    """The disk is large enough and the queue too: nothing may be lost, whatever memory holds."""
    tiers = Tiered(MemoryTier(memory), [DiskTier(tmp_path_factory.mktemp("tier"), 10**6)])
    model: dict[str, int] = {}
    for turn, (step, key) in enumerate(steps):
        name = str(key)
        match step:
            case "put":
                tiers.put({name: blob(700, turn)})
                model[name] = turn
            case "get":
                found = tiers.get([name])[0]
                assert same(found, blob(700, model[name])) if name in model else found is None
            case "delete":
                tiers.delete([name])
                model.pop(name, None)
            case "prefetch":
                tiers.prefetch([name])
            case _:
                assert tiers.flush(10)
    tiers.close()
