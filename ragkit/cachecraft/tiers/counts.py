"""Counts of what happened, by reason, from any thread."""

from __future__ import annotations

import errno
import threading
from collections import Counter
from collections.abc import Mapping

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}

REFUSALS = ("no space", "denied", "input/output")
"""What the operating system refuses, as it is counted."""


class Counts:
    """How often what happened. Safe to share between threads."""

    def __init__(self) -> None:
        self._counter: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, reason: str, times: int = 1) -> None:
        """Count `reason`."""
        if times:
            with self._lock:
                self._counter[reason] += times

    def error(self, error: OSError) -> None:
        """Count what the operating system refused: "no space", "denied" or "input/output"."""
        self.add(
            "no space" if error.errno in _FULL else "denied" if error.errno in _DENIED else "input/output",
        )

    def snapshot(self) -> Mapping[str, int]:
        """Return the counts by now, by reason in alphabetical order."""
        with self._lock:
            return dict(sorted(self._counter.items()))
