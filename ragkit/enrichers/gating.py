"""Which chunks are worth completing: a judge's margins against their own running mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

ANSWERS = ("yes", "Yes", "no", "No")
"""The judge's labels: a chat model may begin its reply with a capital."""

WARM_UP = 5
"""Margins after which the threshold is their mean; 0 before."""


def margins(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(yes) - P(no) for each row of probabilities of `ANSWERS`, shape (n, 4) to (n,)."""
    return np.asarray(probabilities[:, :2].sum(axis=1) - probabilities[:, 2:].sum(axis=1), dtype=np.float64)


def above_running_mean(values: Iterable[float], threshold: float | None = None) -> list[bool]:
    """Return for each margin of one document, in order, whether the chunk is completed: margin > theta.

    theta is `threshold`, or else 0 until `WARM_UP` margins exist and then the mean of all margins before
    (Meta-Chunking, arXiv 2410.12788v3; the published code carries it across documents, so that their order changes the
    result; here it starts anew with each document).

    >>> above_running_mean([0.1, -0.1, 0.3, 0.2, 0.5, 0.15, 0.25])
    [True, False, True, True, True, False, True]
    """
    found: list[bool] = []
    seen: list[float] = []
    for margin in values:
        theta = threshold if threshold is not None else _theta(seen)
        found.append(margin > theta)
        seen.append(margin)
    return found


def _theta(seen: Sequence[float]) -> float:
    return sum(seen) / len(seen) if len(seen) >= WARM_UP else 0.0
