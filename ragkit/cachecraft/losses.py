"""What a chunk store could not give back, said once to whoever asks through it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers.counts import REFUSALS
from ragkit.errors import RagkitWarning

_NOT_KEPT = {"too large", "read-only", "full", "dropped", "no memory", "name too long"}
"""Failures that concern what is new, not what was stored."""
_TOLD_AT_CLOSE = {f"disk: {reason}" for reason in REFUSALS}
"""Failures that the folder's own warning names, when it is closed."""


def losses(failures: Mapping[str, int]) -> dict[str, int]:
    """Return those of a store's `failures` through which something that was stored could not be used.

    >>> losses({"disk: gone": 2, "memory: too large": 5})
    {'disk: gone': 2}
    """
    return {
        failure: times
        for failure, times in failures.items()
        if failure.rpartition(": ")[2] not in _NOT_KEPT and failure not in _TOLD_AT_CLOSE
    }


class Losses:
    """Warns of what one store could not give back, once for each reason."""

    def __init__(self, store: ChunkStore) -> None:
        """Take the store; nothing is asked of it yet."""
        self._store = store
        self._looked = False
        self._told: set[str] = set()

    def look(self, *, trouble: bool) -> None:
        """Warn of new reasons; the store is asked the first time, and then where there was `trouble`."""
        if self._looked and not trouble:
            return
        self._looked = True
        new = {kind: times for kind, times in losses(self._store.stats().failures).items() if kind not in self._told}
        self._told |= new.keys()
        if new:
            listed = "; ".join(f"{kind}, {times} times" for kind, times in new.items())
            warnings.warn(
                f"The chunk store could not give back all that was stored; it is computed instead: {listed}. "
                "`ragkit cache stats` tells what is there.",
                RagkitWarning,
                stacklevel=2,
            )
