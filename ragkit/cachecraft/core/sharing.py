"""A budget of tokens, shared out among chunks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def share_out(total: int, weights: NDArray[np.float64], caps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return whole numbers, none above its cap, whose sum is `total` or all that the caps of positive weights allow.

    Each is the level times its weight, one level for all (for cachecraft: alpha); what rounding down leaves over goes
    to the largest fractions, the first among equals.

    >>> share_out(10, np.array([1.0, 1.0, 0.0]), np.array([3, 20, 20]))
    array([3, 7, 0])
    """
    open_caps = np.where(weights > 0, caps, 0)
    if total >= open_caps.sum():
        return open_caps
    exact = np.minimum(_level(total, weights, open_caps) * weights, open_caps)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    left = total - int(whole.sum())
    if left > 0:
        fractions = np.where(whole < open_caps, exact - whole, -np.inf)
        whole[np.argsort(-fractions, kind="stable")[:left]] += 1
    return whole


def _level(total: int, weights: NDArray[np.float64], caps: NDArray[np.int64]) -> float:
    """Return the level at which the sum of min(cap, level * weight) is `total`, which is below the sum of caps."""
    use = weights > 0
    weight, cap = weights[use], caps[use].astype(np.float64)
    full_at = cap / weight
    by_level = np.argsort(full_at, kind="stable")
    filled = np.concatenate(([0.0], np.cumsum(cap[by_level])[:-1]))
    rising = np.cumsum(weight[by_level][::-1])[::-1]
    levels = (total - filled) / rising
    return float(levels[np.flatnonzero(levels <= full_at[by_level] * (1 + 1e-12))[0]])


def part_of(share: float, tokens: int) -> int:
    """Return that share of so many tokens, rounded up, safe against the error of floats."""
    return math.ceil(share * tokens - 1e-9)
