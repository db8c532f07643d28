"""Local minima of a sequence of sentence scores, each with the largest threshold that it still passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
SideRule = Literal["any", "both"]


@dataclass(frozen=True, slots=True)
class Minima:
    """The interior local minima of n scores, ascending; all arrays have one entry for each.

    `at` are their indexes. `strength` is the largest threshold at which a minimum is still a boundary, so that a higher
    threshold can only take boundaries away. `depth` is the smaller of the two differences to the neighbours (on a
    plateau the left one), which is what the running minimum remembers.
    """

    at: NDArray[np.int64]
    strength: Scores
    depth: Scores


def local_minima(
    scores: Scores, *, side_rule: SideRule = "any", first_sentence_guard: bool = True, plateau_guard: bool = True
) -> Minima:
    """Return the interior local minima of `scores`, shape (n,); without an interior there is none.

    A minimum is strictly below both neighbours, or below its left one and equal to its right one (the left edge of a
    plateau). With the rule "any" one difference must reach the threshold, with "both" both; a plateau has its left one
    (Meta-Chunking, arXiv 2410.12788, section C2 of our specification). Ours are the guards: the score of sentence 0,
    which has no context, does not count for sentence 1; a plateau counts only if the scores rise after it. Comparisons
    with NaN are false.

    >>> local_minima(np.array([2.0, 1.2, 1.5, 1.4, 1.0, 1.6, 0.9])).at.tolist()
    [1, 4]
    """
    inner = scores[1:-1]
    if len(scores) < 3:
        return Minima(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    left, right = scores[:-2] - inner, scores[2:] - inner
    plateau = (left > 0) & (right == 0)
    if plateau_guard and plateau.any():
        right = np.where(plateau, _rise(scores)[1:-1], right)
        plateau &= right > 0
    found = plateau | ((left > 0) & (right > 0))
    at = np.flatnonzero(found)
    left, right, plateau = left[at], right[at], plateau[at]
    smaller = np.minimum(left, right)
    if side_rule == "any":
        strength = np.where(plateau, left, np.maximum(left, right))
    else:
        strength = smaller if plateau_guard else np.where(plateau, left, smaller)
    if first_sentence_guard and len(at) and at[0] == 0:
        strength[0] = right[0]
    return Minima(at + 1, strength, np.where(plateau, left, smaller))


def _rise(scores: Scores) -> Scores:
    """Return for each score how much the next different one is higher; NaN where none follows."""
    changes = np.flatnonzero(scores[1:] != scores[:-1]) + 1
    following = np.searchsorted(changes, np.arange(len(scores)), "right")
    rise = np.full(len(scores), np.nan)
    known = following < len(changes)
    rise[known] = scores[changes[following[known]]] - scores[known]
    return rise
