"""Calls to a remote store that never take longer than said, and stop for a while after one that did."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from ragkit.cachecraft.tiers.breaker import Breaker
from ragkit.cachecraft.tiers.counts import Counts

_Result = TypeVar("_Result")


class RefusedError(Exception):
    """The store is alive and says no."""


class Guard:
    """Runs tasks in `threads` threads, at most `seconds` for a call that moves few bytes, behind a circuit breaker.

    `ping` asks whether the store is back, `abandon` closes the connections of tasks that are late. Tasks raise OSError
    (TimeoutError among them) where the store is lost, RefusedError where it refuses.
    """

    def __init__(
        self,
        seconds: float,
        threads: int,
        *,
        ping: Callable[[], object],
        abandon: Callable[[], object],
        breaker: Breaker | None = None,
    ) -> None:
        self.counts = Counts()
        self._seconds, self._ping, self._abandon = seconds, ping, abandon
        self._breaker = breaker or Breaker()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ragkit-remote")

    @property
    def on(self) -> bool:
        """Whether calls are made."""
        return self._breaker.on

    def call(self, tasks: Sequence[Callable[[], _Result]], more: float = 0.0) -> list[_Result | None]:
        """Return what the tasks return in time; None for what fails, is late, or is not tried while off.

        `more` are seconds beyond those of every call, for the bytes that have to come.
        """
        if not self._ready():
            self.counts.add("off", len(tasks))
            return [None] * len(tasks)
        started = time.monotonic()
        futures = [self._threads.submit(task) for task in tasks]
        _, late = wait(futures, max(0.0, started + self._seconds + more - time.monotonic()))
        if late:
            for future in late:
                future.cancel()
            self.counts.add("time-out", len(late))
            self._breaker.failed()
            self._abandon()
        results = [None if future in late else self._result(future) for future in futures]
        self._breaker.worked()
        return results

    def later(self, task: Callable[[], object]) -> None:
        """Run a task for which nobody waits; not at all while off."""
        if self._breaker.on:
            self._threads.submit(lambda: self._result(_done(task)))

    def close(self) -> None:
        """Drop what waits and end the threads; tasks that run end with their connections."""
        self._abandon()
        self._threads.shutdown(cancel_futures=True)

    def _result(self, future: Future[_Result]) -> _Result | None:
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, OSError):
            self.counts.add("time-out" if isinstance(error, TimeoutError) else "connection")
            self._breaker.failed()
        else:
            self.counts.add("refused" if isinstance(error, RefusedError) else type(error).__name__)
        return None

    def _ready(self) -> bool:
        """Return whether calls may be made now; where a probe is due, start it and do not wait for it."""
        if self._breaker.probe():
            self._threads.submit(self._probe)
        return self._breaker.on

    def _probe(self) -> None:
        try:
            self._ping()
        except (OSError, RefusedError):
            self._breaker.refused()
        else:
            self._breaker.answered()


def _done(task: Callable[[], _Result]) -> Future[_Result]:
    """Return the outcome of a task that is run here and now."""
    future: Future[_Result] = Future()
    try:
        future.set_result(task())
    except Exception as error:
        future.set_exception(error)
    return future
