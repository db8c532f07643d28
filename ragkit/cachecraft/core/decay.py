"""Decayed sums that never overflow: each addition weighs `decay` less for every tick that has passed since."""

from __future__ import annotations

import math

NOTHING = -math.inf
"""The logarithm of a sum to which nothing was added."""


def log_sum(one: float, other: float) -> float:
    """Return log(exp(one) + exp(other))."""
    low, high = (one, other) if one < other else (other, one)
    return high if low == NOTHING else high + math.log1p(math.exp(low - high))


def log_weight(amount: float, rate: float, now: int) -> float:
    """Return the logarithm of `amount` added at the tick `now`, in units of tick 0; `rate` is -log(decay).

    Weights of later ticks are larger, instead of those of earlier ones being made smaller tick by tick: so the order of
    two sums changes only when something is added to one of them, and a heap can keep it.
    """
    return math.log(amount) + rate * now if amount > 0 else NOTHING


def value_at(total: float, rate: float, now: int) -> float:
    """Return the sum as it is worth at the tick `now`."""
    return math.exp(total - rate * now)
