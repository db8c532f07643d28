"""Which chunks a question focuses on, and from which layer on that is settled (Cache-Craft, 2.5). Arrays only.

The paper gives the idea, and that it is settled by layer 10 to 15 for most questions; the rule is ours: chunks are
ranked by attention per token, added up over the layers so far, and cut where that falls by the largest factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import UsageError

_EQUAL = 1e-12
"""Logarithms of ratios that are closer than this are the same; divisions round."""


@dataclass(frozen=True, slots=True)
class FocusRule:
    """Focus is settled at the first layer from `least` on (a fourth of all where None) with `window` equal focus sets.

    Raises UsageError for a window below 1 or a negative layer.
    """

    least: int | None = None
    window: int = 3

    def __post_init__(self) -> None:
        if self.window < 1 or (self.least is not None and self.least < 0):
            raise UsageError(
                f"The layer {self.least} and a window of {self.window} were given; expected 0 or more and 1 or more."
            )

    def settled(self, sets: Sequence[frozenset[int]], layers: int) -> bool:
        """Return whether the focus is settled after as many layers as there are `sets`, of a model of `layers`."""
        least = layers // 4 if self.least is None else self.least
        last = sets[-self.window :]
        return len(sets) > least and len(last) == self.window and len(set(last)) == 1


def per_token(masses: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the attention on each chunk per token of it, (chunks,), from masses (question tokens, chunks)."""
    found: NDArray[np.float64] = np.asarray(masses, np.float64).mean(0) / lengths
    return found


def focused(cumulative: NDArray[np.float64]) -> frozenset[int]:
    """Return the chunks above the largest ratio of neighbours among the sorted `cumulative` masses (chunks,).

    Of equal ratios the first counts; a single chunk is in focus, and so are all where none is ahead of another.

    >>> sorted(focused(np.array([0.1, 4.0, 0.2, 3.0])))
    [1, 3]
    """
    order = np.argsort(-cumulative, kind="stable")
    ranked = np.maximum(cumulative[order], np.finfo(np.float64).tiny)
    falls = np.log(ranked[:-1]) - np.log(ranked[1:])
    largest = falls.max(initial=0.0)
    if largest <= _EQUAL:
        return frozenset(range(len(cumulative)))
    cut = int((falls >= largest - _EQUAL).argmax()) + 1
    return frozenset(order[:cut].tolist())
