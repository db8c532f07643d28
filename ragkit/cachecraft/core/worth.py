"""Names in the order of their worth, for eviction: a heap in which names whose worth has risen are moved when met."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class WorthOrder:
    """Names by ascending worth; among equals the one that was set longest ago comes first."""

    def __init__(self) -> None:
        self._worth: dict[str, tuple[float, int]] = {}
        self._filed: dict[str, tuple[float, int]] = {}
        """Under which worth each name lies in the heap: never above its own. Entries under another one are waste."""
        self._heap: list[tuple[float, int, str]] = []
        self._serial = 0

    def __getitem__(self, name: str) -> float:
        return self._worth[name][0]

    def __len__(self) -> int:
        return len(self._worth)

    def get(self, name: str) -> float | None:
        """Return the worth of a name, None where it has none."""
        entry = self._worth.get(name)
        return entry[0] if entry else None

    def rank(self, name: str) -> tuple[float, int]:
        """Return what names are ordered by."""
        return self._worth[name]

    def set(self, name: str, worth: float) -> None:
        """Give a name its worth; a rise, which every use is, leaves the heap alone."""
        self._serial += 1
        rank, last = (worth, self._serial), self._worth.get(name)
        self._worth[name] = rank
        if last is None or (rank < last and rank < self._filed[name]):
            self._filed[name] = rank
            heapq.heappush(self._heap, (*rank, name))
            if len(self._heap) > 4 * len(self._worth) + 64:
                self._filed = dict(self._worth)
                self._heap = [(*rank, one) for one, rank in self._worth.items()]
                heapq.heapify(self._heap)

    def drop(self, name: str) -> None:
        """Forget a name."""
        del self._worth[name], self._filed[name]

    def ascending(self) -> Iterator[str]:
        """Yield names from the least worth on; the order must not be changed meanwhile. Costs O(log n) for each."""
        popped = []
        try:
            while self._first() is not None:
                popped.append(heapq.heappop(self._heap))
                yield popped[-1][2]
        finally:
            for entry in popped:
                heapq.heappush(self._heap, entry)

    def least(self) -> float | None:
        """Return the least worth, None where there is no name."""
        name = self._first()
        return None if name is None else self[name]

    def _first(self) -> str | None:
        """Return the name of the least worth, which then lies on top of the heap under that worth."""
        while self._heap:
            worth, serial, name = self._heap[0]
            if self._filed.get(name) != (worth, serial):
                heapq.heappop(self._heap)
                continue
            rank = self._worth[name]
            if rank == (worth, serial):
                return name
            self._filed[name] = rank
            heapq.heapreplace(self._heap, (*rank, name))
        return None
