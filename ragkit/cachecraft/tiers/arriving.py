"""Blobs that are read in the background and used from the front while the rest comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

from ragkit.cachecraft.tiers.tier import Blob, BlobTier

PATIENCE = 5.0
"""Seconds that a batch may take in any case, and beyond that at `SLOWEST` bytes a second."""

SLOWEST = 50e6
_STEP = 1 << 20
"""Bytes of one read: smaller ones cost speed, larger ones keep the first layer waiting."""

_THREADS = 4


class LostError(Exception):
    """A blob that was being used turned out broken, or did not come in time (`late`); the text says which and why."""

    def __init__(self, message: str, *, late: bool) -> None:
        super().__init__(message)
        self.late = late


class Reading(Protocol):
    """Reads one blob front to back: the first `ready` bytes of `blob` are proven."""

    name: str
    size: int
    ready: int
    blob: Blob

    def step(self, least: int) -> None:
        """Read and prove at least `least` further bytes, or the rest; raise where they are broken."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


@runtime_checkable
class ReadingTier(BlobTier, Protocol):
    """A BlobTier whose blobs can be used from the front while they are read."""

    def readers(self, names: Sequence[str]) -> dict[str, Reading]:
        """Return what reads each blob that is there."""
        ...

    def failed(self, name: str, error: Exception) -> None:
        """Hear of a blob that could not be read, and forget it where it is broken."""
        ...


class Arriving:
    """One blob on its way. `blob` is its memory, of which only what was waited for may be read."""

    def __init__(self, reading: Reading, deadline: float) -> None:
        """Take the reader and the time, by the monotonic clock, after which what has not come is lost."""
        self.name, self.size, self.blob = reading.name, reading.size, reading.blob
        self.finished: float | None = None
        """When all of it was there, by the clock of `time.perf_counter`."""
        self._deadline = deadline
        self._ready = 0
        self._error: Exception | None = None
        self._change = threading.Condition()

    @property
    def error(self) -> Exception | None:
        """What went wrong, TimeoutError where nobody waits any longer."""
        return self._error

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return self._ready == self.size and self._error is None

    def wait(self, size: int) -> None:
        """Return when the first `size` bytes are there and proven; raise LostError where they will not be."""
        if self._ready >= size:
            return
        with self._change:
            came = self._change.wait_for(
                lambda: self._ready >= size or self._error is not None, max(0.0, self._deadline - time.monotonic())
            )
            if not came:
                raise LostError(f"{self.name}: {self._ready:,} of {self.size:,} bytes came in time", late=True)
            if self._ready < size:
                late = isinstance(self._error, TimeoutError)
                raise LostError(f"{self.name}: {self._error}", late=late) from self._error

    def advance(self, ready: int) -> bool:
        """Say that the first `ready` bytes are there; return False where nobody waits for more."""
        with self._change:
            if self._error is None:
                self._ready = ready
                self.finished = time.perf_counter() if ready == self.size else None
                self._change.notify_all()
            return self._error is None

    def fail(self, error: Exception) -> None:
        """Say that no more will come."""
        with self._change:
            self._error = self._error or error
            self._change.notify_all()


class Batch:
    """Blobs that are read together, evenly: each is about as far as the others, in parts of its size."""

    def __init__(
        self,
        readings: Sequence[Reading],
        done: Callable[[str, Blob], None],
        failed: Callable[[str, Exception], None],
        *,
        patience: float = PATIENCE,
    ) -> None:
        """Start to read; `done` and `failed` hear of each blob, from the threads that read."""
        self.started = time.perf_counter()
        deadline = time.monotonic() + patience + sum(one.size for one in readings) / SLOWEST
        self._done, self._failed = done, failed
        pairs = [(one, Arriving(one, deadline)) for one in readings]
        self.arriving = {one.name: arriving for one, arriving in pairs}
        self._waiting = pairs
        """Those that no thread reads at the moment."""
        self._lock = threading.Lock()
        for _ in range(min(_THREADS, len(pairs))):
            # daemons: a disk that hangs for ever must not keep the process from ending
            threading.Thread(target=self._read, name="ragkit-arriving", daemon=True).start()

    def give_up(self) -> None:
        """Wait no longer for what has not come."""
        for one in self.arriving.values():
            if not one.complete and one.error is None:
                self._lost(one, TimeoutError("it did not come in time"))

    def _read(self) -> None:
        """Go on with whatever is furthest behind, until nothing is left or other threads have the rest."""
        while (one := self._next()) is not None:
            if self._step(*one):
                with self._lock:
                    self._waiting.append(one)
            else:
                one[0].close()

    def _next(self) -> tuple[Reading, Arriving] | None:
        with self._lock:
            if not self._waiting:
                return None
            one = min(self._waiting, key=lambda pair: pair[0].ready / max(1, pair[0].size))
            self._waiting.remove(one)
            return one

    def _step(self, reading: Reading, arriving: Arriving) -> bool:
        """Read on, and return whether there is more to read."""
        try:
            reading.step(_STEP)
        except Exception as error:  # a tier of somebody else's included: whoever waits must hear of it
            self._lost(arriving, error)
            return False
        if not arriving.advance(reading.ready):
            return False
        if reading.ready < reading.size:
            return True
        with suppress(Exception):  # what it does with the blob changes nothing for those who use it
            self._done(reading.name, reading.blob)
        return False

    def _lost(self, arriving: Arriving, error: Exception) -> None:
        with suppress(Exception):
            self._failed(arriving.name, error)
        arriving.fail(error)
