"""How often chunks were shown lately, cached or not: what tells a chunk that will come again from one that will not."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field

from ragkit.cachecraft.core.decay import NOTHING, log_sum, log_weight, value_at


@dataclass(slots=True)
class Popularity:
    """Decayed counts of the prompts that showed a chunk, of the `capacity` keys seen last (a ghost list)."""

    rate: float
    capacity: int
    _totals: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _now: int = -1
    _shown: set[str] = field(default_factory=set)
    """The keys that the prompt of the tick `_now` shows. Counts are bare floats: no work for the garbage collector."""

    def see(self, key: str, now: int) -> None:
        """Count that the prompt of tick `now` shows the chunk; twice in one prompt counts once."""
        total = self._totals.pop(key, NOTHING)
        if self._first(key, now):
            total = log_sum(total, log_weight(1.0, self.rate, now))
        self._totals[key] = total
        if len(self._totals) > self.capacity:
            self._totals.popitem(last=False)  # a plain dict walks over all it has dropped to find its first key

    def count(self, key: str, now: int) -> float:
        """Return the decayed count of a chunk, 0 where it was not seen lately."""
        return value_at(self._totals.get(key, NOTHING), self.rate, now)

    def remember(self, key: str, count: float, at: int) -> None:
        """Take over the decayed count that a chunk had at the tick `at`."""
        self._totals[key] = log_weight(count, self.rate, at)
        if at >= self._now:
            self._first(key, at)

    def hottest(self) -> list[str]:
        """Return all keys, the most popular first; the first in alphabetical order where they are equal."""
        return sorted(self._totals, key=lambda key: (-self._totals[key], key))

    def first(self, n: int) -> list[str]:
        """Return the n most popular keys."""
        return heapq.nsmallest(n, self._totals, key=lambda key: (-self._totals[key], key))

    def _first(self, key: str, now: int) -> bool:
        """Note that the prompt of tick `now` shows the chunk, and return whether that is new."""
        if now != self._now:
            self._now, self._shown = now, set()
        new = key not in self._shown
        self._shown.add(key)
        return new
