"""Background writes: bounded, ordered against deletions, readable while they wait, and never waited for."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from ragkit.cachecraft.tiers.counts import Counts
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.cachecraft.tiers.tier import Blob
from ragkit.cachecraft.tiers.write_behind import WriteBehind
from tests.cachecraft.tiers.blobs import blob, same


class SlowTier(MemoryTier):
    """Keeps nothing until it is let go."""

    name = "slow"

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.begun, self.go = threading.Event(), threading.Event()

    def put(self, blobs: Mapping[str, Blob]) -> set[str]:
        self.begun.set()
        assert self.go.wait(10)
        return super().put(blobs)


def test_what_waits_is_readable_and_written_in_the_end():
    tier, heard = SlowTier(10**6), list[tuple[str, bool]]()
    queue = WriteBehind(tier, 10_000, Counts(), lambda name, kept: heard.append((name, kept)))
    assert queue.put("a", blob(1000))
    assert tier.begun.wait(10)
    assert queue.put("b", blob(2000))
    assert same(queue.waiting("a"), blob(1000))
    assert same(queue.waiting("b"), blob(2000))
    assert queue.waiting("c") is None
    assert queue.queued == 3000
    assert not queue.flush(0.01)
    tier.go.set()
    assert queue.flush(10)
    assert queue.queued == 0
    assert heard == [("a", True), ("b", True)]
    assert same(tier.get(["a"])[0], blob(1000))
    assert queue.close(10)


def test_a_full_queue_drops_the_write_and_counts_it():
    tier, counts = SlowTier(10**6), Counts()
    queue = WriteBehind(tier, 3000, counts)
    assert [queue.put(name, blob(1000)) for name in "abcd"] == [True, True, True, False]
    assert not queue.put("huge", blob(3001))
    assert counts.snapshot() == {"slow: dropped": 2}
    tier.go.set()
    assert queue.flush(10)
    assert sorted(tier.names()) == ["a", "b", "c"]
    assert queue.put("d", blob(1000))
    queue.close(10)
    assert not queue.put("e", blob(1000))


def test_what_is_deleted_while_it_waits_or_is_written_is_not_there_afterwards():
    tier, heard = SlowTier(10**6), dict[str, bool]()
    queue = WriteBehind(tier, 10_000, Counts(), heard.__setitem__)
    queue.put("a", blob(1000))
    assert tier.begun.wait(10)
    queue.put("b", blob(1000))
    queue.put("c", blob(1000))
    queue.delete(["a", "b"])
    assert queue.waiting("a") is None
    assert queue.waiting("b") is None
    queue.put("a", blob(500))
    tier.go.set()
    assert queue.flush(10)
    assert sorted(tier.names()) == ["a", "c"]
    assert same(tier.get(["a"])[0], blob(500))
    assert heard == {"a": True, "c": True}


def test_closing_does_not_wait_longer_than_it_may():
    tier, counts = SlowTier(10**6), Counts()
    queue = WriteBehind(tier, 10_000, counts)
    queue.put("a", blob(10))
    assert tier.begun.wait(10)
    queue.put("b", blob(10))
    assert not queue.close(0.05)
    assert counts.snapshot() == {"slow: dropped": 1}
    tier.go.set()


def test_a_tier_that_breaks_its_promise_is_counted_and_the_rest_goes_on():
    class Broken(MemoryTier):
        name = "broken"

        def put(self, blobs: Mapping[str, Blob]) -> set[str]:
            if "bad" in blobs:
                raise RuntimeError("a tier must not raise")
            return super().put(blobs)

    tier, counts, heard = Broken(10**6), Counts(), dict[str, bool]()
    queue = WriteBehind(tier, 10_000, counts, heard.__setitem__)
    queue.put("bad", blob(10))
    assert queue.flush(10)
    queue.put("good", blob(10))
    assert queue.flush(10)
    assert heard == {"bad": False, "good": True}
    assert counts.snapshot() == {"broken: RuntimeError": 1}
