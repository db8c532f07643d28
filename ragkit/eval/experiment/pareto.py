"""The Pareto front of quality against retrieved tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """A system that passes on its `k` best chunks: mean tokens per question, and mean quality."""

    system: str
    k: int
    tokens: float
    quality: float


def front(points: Iterable[Point]) -> list[Point]:
    """Return the points that none beats in both, cheapest first; of equal ones the first given.

    >>> [p.system for p in front([Point("a", 1, 100, 0.5), Point("b", 1, 90, 0.6), Point("c", 2, 200, 0.7)])]
    ['b', 'c']
    """
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.tokens, -point.quality)):
        if not best or point.quality > best[-1].quality:
            best.append(point)
    return best
