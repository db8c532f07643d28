"""Pieces made larger and smaller: neighbours joined up to a target length, and pieces over the limit divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Fits = Callable[[int, int], bool]
"""Says whether the units `[first, last)` together are short enough."""


def merge(edges: Sequence[int], fits: Fits) -> list[int]:
    """Return those of `edges` that remain when neighbouring pieces are joined, left to right, as long as they fit.

    `edges` are the units where pieces begin, and after the last the number of units. A piece that does not fit alone
    stays as it is, and no piece is empty (Meta-Chunking's dynamic merge, section C6 of our specification).

    >>> lengths = np.cumsum([0, 40, 90, 30, 120, 200, 10])
    >>> merge([0, 1, 2, 3, 4, 5, 6], lambda first, last: lengths[last] - lengths[first] <= 150)
    [0, 2, 4, 5, 6]
    """
    kept = [edges[0]]
    for before, after in pairwise(edges[1:]):
        if not fits(kept[-1], after):
            kept.append(before)
    return [*kept, edges[-1]]


def divide(edges: Sequence[int], costs: NDArray[np.float64], fits: Fits, *, inset: int = 1) -> list[int]:
    """Return `edges` with further ones, so that every piece of several units fits.

    A piece that does not is divided where the cost of an edge before a unit, `costs` of shape (units,), is smallest,
    not within its first `inset` units where it has more; its parts likewise.
    """
    found = list(edges)
    waiting = [(first, last) for first, last in pairwise(edges) if last - first > 1 and not fits(first, last)]
    while waiting:
        first, last = waiting.pop()
        inner = min(first + inset, last - 1)
        cut = inner + int(np.argmin(costs[inner:last]))
        found.append(cut)
        waiting += [part for part in ((first, cut), (cut, last)) if part[1] - part[0] > 1 and not fits(*part)]
    return sorted(found)
