"""A circuit breaker: after a failure a remote store is left alone for a while, and longer after each further one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """On at first; `failed` switches it off for `rest_seconds`, doubled by each further failure, to `longest_seconds`.

    It comes on again only when a probe is `answered`: one caller per rest is told by `probe` to make one, outside the
    path of a request, so that a store that hangs costs requests one time-out and no more until it has answered.
    """

    def __init__(
        self,
        rest_seconds: float = 15.0,
        longest_seconds: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest, self._longest, self._clock = rest_seconds, longest_seconds, clock
        self._on = True
        self._failures = 0
        self._again = 0.0
        """When a probe may be made."""
        self._lock = threading.Lock()

    @property
    def on(self) -> bool:
        """Whether requests may be made."""
        return self._on

    def failed(self) -> None:
        """Switch off."""
        with self._lock:
            if self._on:
                self._failures += 1
            self._on = False
            self._again = self._clock() + min(self._longest, self._rest * 2.0 ** (self._failures - 1))

    def refused(self) -> None:
        """Rest again, longer: a probe has failed."""
        with self._lock:
            self._failures += 1
        self.failed()

    def answered(self) -> None:
        """Switch on again after a probe; what was learned of failures stays until a request has worked."""
        with self._lock:
            self._on = True

    def worked(self) -> None:
        """Forget earlier failures."""
        if self._failures and self._on:
            with self._lock:
                self._failures = 0

    def probe(self) -> bool:
        """Return True, to one caller per rest, where it is off and its rest is over."""
        with self._lock:
            due = not self._on and self._clock() >= self._again
            if due:
                self._again = self._clock() + min(self._longest, self._rest * 2.0**self._failures)
            return due
