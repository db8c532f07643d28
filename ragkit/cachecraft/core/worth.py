"""Names in the order of their worth, for eviction: a heap in which a changed worth leaves the old entry behind."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class WorthOrder:
    """Names by ascending worth; among equals the one that was set longest ago comes first."""

    def __init__(self) -> None:
        self._worth: dict[str, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._serial = 0

    def __getitem__(self, name: str) -> float:
        return self._worth[name][0]

    def __len__(self) -> int:
        return len(self._worth)

    def rank(self, name: str) -> tuple[float, int]:
        """Return what names are ordered by."""
        return self._worth[name]

    def set(self, name: str, worth: float) -> None:
        """Give a name its worth."""
        self._serial += 1
        self._worth[name] = (worth, self._serial)
        heapq.heappush(self._heap, (worth, self._serial, name))
        if len(self._heap) > 4 * len(self._worth) + 64:
            self._heap = [(*rank, one) for one, rank in self._worth.items()]
            heapq.heapify(self._heap)

    def drop(self, name: str) -> None:
        """Forget a name."""
        del self._worth[name]

    def ascending(self) -> Iterator[str]:
        """Yield names from the least worth on; the order must not be changed meanwhile. Costs O(log n) for each."""
        popped = []
        try:
            while self._heap:
                entry = heapq.heappop(self._heap)
                if self._worth.get(entry[2]) == entry[:2]:
                    popped.append(entry)
                    yield entry[2]
        finally:
            for entry in popped:
                heapq.heappush(self._heap, entry)

    def least(self) -> float | None:
        """Return the least worth, None where there is no name."""
        while self._heap and self._worth.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
