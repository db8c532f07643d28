"""How often chunks were shown lately, cached or not: what tells a chunk that will come again from one that will not."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from ragkit.cachecraft.core.decay import log_sum, log_weight, value_at


@dataclass(slots=True)
class Popularity:
    """Decayed counts of the prompts that showed a chunk, of the `capacity` keys seen last (a ghost list)."""

    rate: float
    capacity: int
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)

    def see(self, key: str, now: int) -> None:
        """Count that the prompt of tick `now` shows the chunk; twice in one prompt counts once."""
        last, total = self._seen.pop(key, (-1, log_weight(0.0, self.rate, now)))
        self._seen[key] = (now, total if last == now else log_sum(total, log_weight(1.0, self.rate, now)))
        if len(self._seen) > self.capacity:
            del self._seen[next(iter(self._seen))]

    def count(self, key: str, now: int) -> float:
        """Return the decayed count of a chunk, 0 where it was not seen lately."""
        entry = self._seen.get(key)
        return value_at(entry[1], self.rate, now) if entry else 0.0

    def remember(self, key: str, count: float, at: int) -> None:
        """Take over the decayed count that a chunk had at the tick `at`."""
        self._seen[key] = (at, log_weight(count, self.rate, at))

    def hottest(self) -> list[str]:
        """Return all keys, the most popular first; the first in alphabetical order where they are equal."""
        return sorted(self._seen, key=lambda key: (-self._seen[key][1], key))

    def first(self, n: int) -> list[str]:
        """Return the n most popular keys."""
        return heapq.nsmallest(n, self._seen, key=lambda key: (-self._seen[key][1], key))
