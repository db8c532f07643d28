"""The smallest difference that so many queries can show: what a table of n queries is too small to tell.

With differences of standard deviation s over n queries, a true difference d is found with probability `power` by a
two-sided test at level alpha if d = (z[1 - alpha/2] + z[power]) s / sqrt(n) (normal approximation).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from ragkit.errors import UsageError
from ragkit.eval.statistics.values import finite, numbered, sums


def smallest_detectable_difference(
    differences: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Return the true mean difference that queries like these would show with probability `power`.

    `differences` are paired, one per query; with `clusters` the standard error is that of cluster sums. Raises
    UsageError for fewer than two queries or clusters.
    """
    array = finite(differences, "the differences")
    group = np.arange(len(array)) if clusters is None else numbered(clusters, len(array))
    totals = sums(group, array - array.mean())
    if len(totals) < 2 or not 0 < alpha < 1 or not 0 < power < 1:
        raise UsageError(
            f"{len(totals)} queries or clusters, alpha = {alpha} and power = {power} were given.",
            hint="Give at least two queries or clusters, and alpha and power between 0 and 1.",
        )
    error = math.sqrt(float((totals**2).sum()) * len(totals) / (len(totals) - 1)) / len(array)
    return (_z(1 - alpha / 2) + _z(power)) * error


def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)
