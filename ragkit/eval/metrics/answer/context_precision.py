"""Context precision: how early the relevant contexts come among those retrieved."""

from __future__ import annotations

from collections.abc import Sequence


def context_precision(relevant: Sequence[bool]) -> float:
    """Return the mean precision at the ranks of the relevant contexts, 0 without one (metrics.md 4.1).

    The number of *retrieved* relevant contexts divides: missing evidence is not punished, so a high value says
    nothing about recall.

    >>> round(context_precision([True, False, True]), 3)
    0.833
    """
    found, total = 0, 0.0
    for rank, hit in enumerate(relevant, start=1):
        if hit:
            found += 1
            total += found / rank
    return total / found if found else 0.0
