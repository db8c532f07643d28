"""Blobs in the memory of this process, bounded by bytes; the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from ragkit.cachecraft.tiers.buffers import Allocate, frozen, pages
from ragkit.cachecraft.tiers.counts import Counts
from ragkit.cachecraft.tiers.tier import Blob


class MemoryTier:
    """A BlobTier in memory.

    A writable array is copied, because its owner may go on writing to it; a read-only one is kept as it is, unless
    `allocate` gives the memory (page-locked, for instance) that all blobs must lie in. A blob that a caller still holds
    stays alive after it was evicted here, and is not counted any more.
    """

    name = "memory"
    on = True

    def __init__(self, capacity: int, *, allocate: Allocate | None = None) -> None:
        self.capacity = capacity
        self._allocate = allocate
        self._blobs: OrderedDict[str, Blob] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()
        self._counts = Counts()
        self.evictions = 0
        """Blobs pushed out for newer ones."""

    @property
    def used(self) -> int:
        """Bytes it holds."""
        return self._used

    @property
    def failures(self) -> Mapping[str, int]:
        """How often what went wrong: "too large", "no memory"."""
        return self._counts.snapshot()

    def exists(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs are there."""
        with self._lock:
            return [name in self._blobs for name in names]

    def get(self, names: Sequence[str]) -> list[Blob | None]:
        """Return each blob, read-only, or None."""
        with self._lock:
            for name in names:
                if name in self._blobs:
                    self._blobs.move_to_end(name)
            return [self._blobs.get(name) for name in names]

    def may_have(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs are there."""
        return self.exists(names)

    def put(self, blobs: Mapping[str, Blob]) -> set[str]:
        """Keep blobs and return the names of those kept."""
        return {name for name, blob in blobs.items() if self._put(name, blob)}

    def _put(self, name: str, blob: Blob) -> bool:
        if blob.nbytes > self.capacity:
            self._counts.add("too large")
            self.delete([name])
            return False
        try:
            own = self._own(blob)
        except MemoryError:
            self._counts.add("no memory")
            self.delete([name])
            return False
        with self._lock:
            self._forget(name)
            while self._used + own.nbytes > self.capacity:
                self._forget(next(iter(self._blobs)))
                self.evictions += 1
            self._blobs[name] = own
            self._used += own.nbytes
        return True

    def _own(self, blob: Blob) -> Blob:
        if self._allocate is None and not blob.flags.writeable:
            return blob
        copy = (self._allocate or pages)(blob.nbytes)
        np.copyto(copy, blob)
        return frozen(copy)

    def delete(self, names: Sequence[str]) -> None:
        """Forget blobs."""
        with self._lock:
            for name in names:
                self._forget(name)

    def _forget(self, name: str) -> None:
        gone = self._blobs.pop(name, None)
        self._used -= 0 if gone is None else gone.nbytes

    def names(self) -> list[str]:
        """Return the names of all blobs, the least recently used first."""
        with self._lock:
            return list(self._blobs)

    def clear(self) -> bool:
        """Forget everything; return True."""
        self.delete(self.names())
        return True

    def close(self) -> None:
        """Forget everything."""
        self.clear()
