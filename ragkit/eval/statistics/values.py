"""Per-query values as the statistics take them: finite, at least one, each with its cluster."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragkit.errors import UsageError

Floats = NDArray[np.float64]


def finite(values: ArrayLike, name: str) -> Floats:
    """Return `values` as an array of shape (n,); raise UsageError naming the first that is missing or not finite."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise UsageError(
            f"The scores of {name} are not all numbers.", hint="Count a query without a result as its default, 0."
        ) from None
    if array.ndim != 1 or not len(array):
        raise UsageError(
            f"The scores of {name} have the shape {array.shape}; one value for each query was expected.",
            hint="Give a flat sequence of numbers.",
        )
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise UsageError(
            f"The scores of {name} hold {array[wrong[0]]} at place {wrong[0]} ({len(wrong)} such values).",
            hint="Count a query without a result as its default, 0, or leave it out of all systems and say so.",
        )
    return array


def paired(scores_a: ArrayLike, scores_b: ArrayLike, names: tuple[str, str]) -> tuple[Floats, Floats]:
    """Return both score arrays; raise UsageError where they do not belong to the same queries."""
    first, second = finite(scores_a, names[0]), finite(scores_b, names[1])
    if len(first) != len(second):
        raise UsageError(
            f"{names[0]} has {len(first)} scores and {names[1]} has {len(second)}.",
            hint="Score both on the same queries, in the same order.",
        )
    return first, second


def numbered(clusters: Sequence[Hashable], count: int) -> NDArray[np.int64]:
    """Return a number from 0 for the cluster of each value; raise UsageError for another number of clusters."""
    if len(clusters) != count:
        raise UsageError(
            f"{len(clusters)} clusters were given for {count} scores.", hint="Name the document of every query."
        )
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], np.int64)


def sums(group: NDArray[np.int64], values: Floats) -> Floats:
    """Return the sum of the values of each group."""
    return np.asarray(np.bincount(group, values), np.float64)
