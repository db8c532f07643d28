"""Pk (Beeferman et al. 1999) and WindowDiff (Pevzner & Hearst 2002): errors seen through a sliding window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragkit.eval.metrics.measure import Option, declare


def window(gold: frozenset[int], n: int) -> int:
    """Return half the mean gold segment length, rounded half up, at least 2 and at most n - 1."""
    return max(1, min(max(2, int(n / (2 * (len(gold) + 1)) + 0.5)), n - 1))


def _inside(boundaries: frozenset[int], n: int, size: int) -> NDArray[np.int64]:
    """Return for each pair of units (i, i + size) the number of boundaries between them."""
    marks = np.zeros(n, np.int64)
    marks[sorted(boundaries)] = 1
    below = np.cumsum(marks)
    return below[size:] - below[:-size]


def _pk(gold: frozenset[int], predicted: frozenset[int], n: int, k: int) -> float:
    size = min(k, n - 1) or window(gold, n)
    return float(((_inside(gold, n, size) > 0) != (_inside(predicted, n, size) > 0)).mean())


def _window_diff(gold: frozenset[int], predicted: frozenset[int], n: int, k: int) -> float:
    size = min(k, n - 1) or window(gold, n)
    return float((_inside(gold, n, size) != _inside(predicted, n, size)).mean())


K = Option(0, low=0)
"""Units between the ends of the window; 0 means half the mean gold segment length."""

Pk = declare(
    "Pk", "segmentation", _pk, "share of windows that wrongly split or join their ends", lower_is_better=True, k=K
)

WindowDiff = declare(
    "WindowDiff",
    "segmentation",
    _window_diff,
    "share of windows with another number of boundaries",
    lower_is_better=True,
    k=K,
)
