"""Writes to a slower tier in the background: bounded, and what does not fit the queue is dropped, not waited for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from ragkit.cachecraft.tiers.counts import Counts
from ragkit.cachecraft.tiers.tier import Blob, BlobTier


class WriteBehind:
    """A queue of at most `queue_bytes` in front of `tier`, emptied by one thread.

    Blobs are written one by one in the order of their `put`: a tier as large as what its owner still wants then never
    has to make room. `kept` is called from the thread with each name and whether the tier kept it. A blob is readable
    here from `put` until it is written.
    """

    def __init__(
        self, tier: BlobTier, queue_bytes: int, counts: Counts, kept: Callable[[str, bool], None] = lambda _, __: None
    ) -> None:
        self.tier = tier
        self._limit, self._counts, self._kept = queue_bytes, counts, kept
        self._waiting: OrderedDict[str, Blob] = OrderedDict()
        self._writing: dict[str, Blob] = {}
        """The one that is being written."""
        self._unwanted = False
        """Whether that one was deleted meanwhile."""
        self._closed = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"ragkit-write-{tier.name}", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Bytes waiting or being written."""
        with self._change:
            return self._queued()

    def _queued(self) -> int:
        return sum(blob.nbytes for part in (self._waiting, self._writing) for blob in part.values())

    def put(self, name: str, blob: Blob) -> bool:
        """Queue a write; return False, and count it, where the queue is full or closed."""
        with self._change:
            if self._closed or self._queued() + blob.nbytes > self._limit:
                self._counts.add(f"{self.tier.name}: dropped")
                return False
            self._waiting[name] = blob
            self._change.notify_all()
            return True

    def waiting(self, name: str) -> Blob | None:
        """Return a blob that is not written yet."""
        with self._change:
            found = self._waiting.get(name)
            return found if found is not None or self._unwanted else self._writing.get(name)

    def delete(self, names: list[str]) -> None:
        """Forget blobs, here and in the tier."""
        with self._change:
            for name in names:
                self._waiting.pop(name, None)
                self._unwanted |= name in self._writing
        self.tier.delete(names)

    def clear(self, seconds: float | None = None) -> bool:
        """Forget everything, here and in the tier, waiting at most `seconds` for a write; return whether it is gone."""
        with self._change:
            self._waiting.clear()
            self._unwanted |= bool(self._writing)
        idle = self.flush(seconds)
        return self.tier.clear() and idle

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until everything queued is written, at most `seconds`; return whether it is."""
        with self._change:
            return self._change.wait_for(lambda: not self._waiting and not self._writing, seconds)

    def close(self, seconds: float | None = None) -> bool:
        """Write what is queued, at most for `seconds`, and end the thread; return whether all was written."""
        done = self.flush(seconds)
        with self._change:
            self._closed = True
            if self._waiting:
                self._counts.add(f"{self.tier.name}: dropped", len(self._waiting))
                self._waiting.clear()
            self._change.notify_all()
        self._thread.join(0 if not done else None)
        return done

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: bool(self._waiting) or self._closed)
                if not self._waiting:
                    return
                name, blob = self._waiting.popitem(last=False)
                self._writing, self._unwanted = {name: blob}, False
            self._kept(name, self._write(name))
            with self._change:
                self._writing = {}
                self._change.notify_all()

    def _write(self, name: str) -> bool:
        """Hand the blob to the tier and return whether it is there, and still wanted."""
        try:
            kept = name in self.tier.put(self._writing)
        except Exception as error:  # a third-party tier that breaks its promise must not end the thread
            self._counts.add(f"{self.tier.name}: {type(error).__name__}")
            kept = False
        with self._change:
            unwanted = self._unwanted
        if unwanted:
            self.tier.delete([name])
        return kept and not unwanted
