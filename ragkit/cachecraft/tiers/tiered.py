"""Memory over slower tiers: written through in the background, promoted on a hit, loaded ahead on request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ragkit.cachecraft.tiers.arriving import PATIENCE, Batch, ReadingTier
from ragkit.cachecraft.tiers.buffers import frozen
from ragkit.cachecraft.tiers.counts import Counts
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.cachecraft.tiers.tier import Blob, BlobTier
from ragkit.cachecraft.tiers.write_behind import WriteBehind


class Tiered:
    """A BlobTier made of tiers, the fastest first. Inclusive: what a slower tier holds may be in memory as well.

    `put` returns when memory has the blob; a write to a slower tier waits in a queue of `queue_bytes` or, where that is
    full, is dropped and counted. `written` hears of every background write: the name and whether it was kept. With
    `read_only` slower tiers are read and nothing else: what is new is kept in memory.
    """

    name = "tiered"
    on = True

    def __init__(
        self,
        memory: MemoryTier,
        slower: Sequence[BlobTier] = (),
        *,
        queue_bytes: int = 1 << 30,
        written: Callable[[str, bool], None] = lambda _, __: None,
        threads: int = 4,
        patience: float = PATIENCE,
        read_only: bool = False,
    ) -> None:
        self.memory = memory
        self.capacity = max(memory.capacity, *(tier.capacity for tier in slower)) if slower else memory.capacity
        self._counts, self._hits = Counts(), Counts()
        self._patience = patience
        self._slower = [WriteBehind(tier, queue_bytes, self._counts, written) for tier in slower]
        self._written_to = [] if read_only else self._slower
        self._ahead = ThreadPoolExecutor(threads, thread_name_prefix="ragkit-prefetch")
        self._loading: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes in the tier that holds most; the others hold copies."""
        return max(tier.used for tier in self.tiers)

    @property
    def tiers(self) -> list[BlobTier]:
        """The tiers, the fastest first."""
        return [self.memory, *(one.tier for one in self._slower)]

    @property
    def queued(self) -> int:
        """Bytes on their way to slower tiers."""
        return sum(one.queued for one in self._slower)

    @property
    def hits(self) -> Mapping[str, int]:
        """Blobs found, by tier, and "missing"."""
        return self._hits.snapshot()

    @property
    def failures(self) -> Mapping[str, int]:
        """How often what went wrong, by tier and reason."""
        found = dict(self._counts.snapshot())
        for tier in self.tiers:
            found |= {f"{tier.name}: {reason}": times for reason, times in tier.failures.items()}
        return dict(sorted(found.items()))

    def exists(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs some tier says it has."""
        there = [self.memory.exists(names)]
        there += [[waiting is not None for waiting in map(one.waiting, names)] for one in self._slower]
        there += [one.tier.exists(names) for one in self._slower]
        return [any(column) for column in zip(*there, strict=True)]

    def may_have(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs may be in some tier, also in one that could not say so lately."""
        there = [self.memory.exists(names)]
        there += [[waiting is not None for waiting in map(one.waiting, names)] for one in self._slower]
        there += [one.tier.may_have(names) for one in self._slower]
        return [any(column) for column in zip(*there, strict=True)]

    def get(self, names: Sequence[str]) -> list[Blob | None]:
        """Return each blob from the fastest tier that has it whole, or None; what was slower moves up."""
        self._await(names)
        found = self._find(dict.fromkeys(names), count=True)
        return [found.get(name) for name in names]

    def _find(self, names: Iterable[str], *, count: bool) -> dict[str, Blob]:
        wanted = list(names)
        found = _there(wanted, self.memory.get(wanted))
        self._count("memory", len(found), count)
        for place, one in enumerate(self._slower):
            missing = [name for name in wanted if name not in found]
            here = _there(missing, list(map(one.waiting, missing)))
            rest = [name for name in missing if name not in here]
            here |= _there(rest, one.tier.get(rest)) if rest else {}
            self._count(one.tier.name, len(here), count)
            self._promote(here, place)
            found |= here
        self._count("missing", len(wanted) - len(found), count)
        return found

    def _count(self, name: str, times: int, count: bool) -> None:
        if count:
            self._hits.add(name, times)

    def _promote(self, blobs: Mapping[str, Blob], place: int) -> None:
        """Copy what the slower tier at `place` had into the faster ones."""
        self.memory.put(blobs)
        for one in self._written_to[:place]:
            for name, blob in blobs.items():
                one.put(name, blob)

    def arrive(self, names: Sequence[str]) -> Batch | None:
        """Return the blobs that the first slower tier starts to read in steps; `get` gives those that are not in it.

        A blob on its way moves up when all of it is proven. A tier that reads blobs whole only is left to `get`, and so
        is what is in memory, waits to be written, or is being loaded ahead.
        """
        first = self._slower[0] if self._slower else None
        if first is None or not isinstance(first.tier, ReadingTier):
            return None
        tier = first.tier
        with self._lock:
            ahead = set(self._loading)
        here = self.memory.exists(names)
        wanted = [
            name
            for name, there in zip(names, here, strict=True)
            if not there and name not in ahead and first.waiting(name) is None
        ]
        readings = tier.readers(list(dict.fromkeys(wanted)))

        def done(name: str, blob: Blob) -> None:
            self._hits.add(tier.name)
            self._promote({name: blob}, 0)

        return Batch(list(readings.values()), done, tier.failed, patience=self._patience) if readings else None

    def put(self, blobs: Mapping[str, Blob]) -> set[str]:
        """Keep blobs in memory, queue their writes, and return the names that some tier has or will try to keep."""
        kept = self.memory.put(blobs)
        names = [name for name in blobs if name in kept]
        own = _there(names, self.memory.get(names))
        if self._written_to:  # its owner may go on writing to an array that memory could not copy
            own |= {name: frozen(blob.copy()) for name, blob in blobs.items() if name not in own}
        for one in self._written_to:
            kept |= {name for name, blob in own.items() if one.put(name, blob)}
        return kept

    def prefetch(self, names: Sequence[str]) -> None:
        """Start to load into memory what is not there; `get` waits for what has begun."""
        for name, there in zip(names, self.memory.exists(names), strict=True):
            with self._lock:
                if not there and name not in self._loading:
                    future = self._ahead.submit(self._load, name)
                    self._loading[name] = future

    def _load(self, name: str) -> None:
        try:
            self._find([name], count=False)
        finally:
            with self._lock:
                self._loading.pop(name, None)

    def _await(self, names: Sequence[str]) -> None:
        """Wait for loads that run; those that have not begun are left to the caller."""
        with self._lock:
            under_way = {name: self._loading[name] for name in names if name in self._loading}
        for name, future in under_way.items():
            if future.cancel():
                with self._lock:
                    self._loading.pop(name, None)
            else:
                future.exception()

    def delete(self, names: Sequence[str]) -> None:
        """Forget blobs in every tier that may be written."""
        self.memory.delete(names)
        for one in self._written_to:
            one.delete(list(names))

    def names(self) -> list[str]:
        """Return the names of all blobs that some tier has."""
        return list(dict.fromkeys(name for tier in self.tiers for name in tier.names()))

    def clear(self) -> bool:
        """Remove all blobs and wait for it; return False where some could not be removed."""
        return not self.empty()

    def empty(self, seconds: float | None = None) -> list[str]:
        """Remove all blobs, also those that other processes have put there; return the tiers that still hold some.

        Waits for it, at most `seconds` for a write that is under way. Tiers that are only read are left as they are.
        """
        self.memory.clear()
        return [one.tier.name for one in self._written_to if not one.clear(seconds)]

    def flush(self, seconds: float | None = None) -> bool:
        """Wait, at most `seconds` per tier, until queued writes are done; return whether they are."""
        done = [one.flush(seconds) for one in self._slower]
        return all(done)

    def close(self, seconds: float | None = None) -> None:
        """Write what is queued (at most for `seconds` per tier, then drop it), and release everything."""
        self._ahead.shutdown(cancel_futures=True)
        for one in self._slower:
            one.close(seconds)
            one.tier.close()
        self.memory.close()


def _there(names: Sequence[str], blobs: Sequence[Blob | None]) -> dict[str, Blob]:
    return {name: blob for name, blob in zip(names, blobs, strict=True) if blob is not None}
