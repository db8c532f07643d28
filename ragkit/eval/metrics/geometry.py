"""Half-open intervals on one line as arrays: merged, measured, joined. Nothing here knows of queries or documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cover:
    """Disjoint intervals `[starts[i], ends[i])` in order, ready to be measured."""

    starts: Ints
    ends: Ints
    before: Ints
    """Total length of the intervals before each one, and of all: shape (n + 1,)."""

    @classmethod
    def of(cls, starts: Ints, ends: Ints) -> Cover:
        """Return the cover by intervals that are disjoint and in order already."""
        return cls(starts, ends, np.concatenate((np.zeros(1, np.int64), np.cumsum(ends - starts))))

    def below(self, points: Ints) -> Ints:
        """Return for each point the total length of the intervals to its left."""
        if not len(self.starts):
            return np.zeros(len(points), np.int64)
        index = np.searchsorted(self.starts, points, side="right")
        beyond = self.ends[np.maximum(index, 1) - 1] - points
        below: Ints = self.before[index] - np.where(index > 0, np.maximum(beyond, 0), 0)
        return below

    def within(self, starts: Ints, ends: Ints) -> Ints:
        """Return the covered length of each interval `[starts[i], ends[i])`."""
        lengths: Ints = self.below(ends) - self.below(starts)
        return lengths


def new_parts(starts: Ints, ends: Ints) -> Ints:
    """Return where each interval, in order of start, begins to add to those before it (its end if it adds nothing).

    The parts `[result[i], ends[i])` are disjoint, in order, and their union is the union of the intervals.
    """
    if not len(starts):
        return starts
    reach = np.maximum.accumulate(ends)
    previous = np.concatenate((starts[:1], reach[:-1]))
    parts: Ints = np.minimum(np.maximum(starts, previous), ends)
    return parts


def merged(starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the merged intervals and the index of the merged one for each given one; given in order of start.

    Intervals that only touch stay apart: they share no character.
    """
    if not len(starts):
        return starts, ends, np.zeros(0, np.int64)
    reach = np.maximum.accumulate(ends)
    first = np.concatenate((np.ones(1, np.bool_), starts[1:] >= reach[:-1]))
    heads = np.flatnonzero(first)
    return starts[heads], np.maximum.reduceat(ends, heads), np.cumsum(first) - 1


def overlapping(starts: Ints, ends: Ints, other_starts: Ints, other_ends: Ints) -> tuple[Ints, Ints, Ints]:
    """Return all pairs (i, j) with a common length above 0, and that length; the others are in order of start.

    Strictly: intervals that touch are no pair, and an empty interval is in none.
    """
    if not len(starts) or not len(other_starts):
        return (np.zeros(0, np.int64),) * 3
    first = np.searchsorted(np.maximum.accumulate(other_ends), starts, side="right")
    last = np.maximum(np.searchsorted(other_starts, ends, side="left"), first)
    left = np.repeat(np.arange(len(starts)), last - first)
    right = ranges(first, last)
    common = np.minimum(ends[left], other_ends[right]) - np.maximum(starts[left], other_starts[right])
    real = common > 0
    return left[real], right[real], common[real]


def ranges(first: Ints, last: Ints) -> Ints:
    """Return the concatenation of arange(first[i], last[i])."""
    sizes = last - first
    shift = np.repeat(first - np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)[:-1])), sizes)
    places: Ints = np.arange(len(shift)) + shift
    return places


def share(part: Ints | Floats, whole: Ints | Floats) -> Floats:
    """Return part / whole, 0 where the whole is 0."""
    quotient: Floats = np.zeros(len(part), np.float64)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient


def totals(group: Ints, values: Ints | Floats, groups: int) -> Floats:
    """Return the sum of the values of each group 0 to groups - 1."""
    return np.asarray(np.bincount(group, values, groups), np.float64)
