"""Holm's step-down correction for several comparisons (Holm 1979)."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.errors import UsageError


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values, in the order given; below a level they control the family-wise error at it.

    Raises UsageError for a value outside 0 to 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    for place, value in enumerate(p_values):
        if not 0 <= value <= 1:
            raise UsageError(f"The p-value at place {place} is {value}.", hint="Give values from 0 to 1.")
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for step, place in enumerate(order):
        largest = max(largest, min(1.0, p_values[place] * (len(order) - step)))
        adjusted[place] = largest
    return adjusted
