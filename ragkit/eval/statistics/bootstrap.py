"""Percentile bootstrap of a mean, over queries or over clusters of queries (Efron & Tibshirani 1993, ch. 13).

Resampling n units with replacement only decides how often each occurs, so a resample is a row of counts and its mean
a product: blocks of rows keep the memory bounded. A resample of clusters takes all queries of a cluster; its mean is
over the queries that it holds.

The percentiles are those of Hesterberg's expanded interval (arXiv 1411.5279): the plain ones are too narrow for few
units (91.5 % instead of 95 % for 20 documents), by about the step from the normal to the t distribution.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from ragkit.errors import UsageError
from ragkit.eval.statistics.values import Floats, finite, numbered, sums

RESAMPLES = 10_000
SEED = 0
BLOCK = 2**21
"""Counts of one block, 16 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The estimate and its interval at `level`; `units` were resampled, `over` says what they are."""

    estimate: float
    low: float
    high: float
    level: float
    units: int
    over: str
    resamples: int
    seed: int

    def contains(self, value: float) -> bool:
        """Return whether `value` lies in the interval, its ends included."""
        return self.low <= value <= self.high


def mean_interval(
    values: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    name: str = "the system",
) -> Interval:
    """Return the percentile bootstrap interval of the mean of `values`.

    With `clusters` (the document of each query) whole clusters are resampled. For an interval of a paired difference
    give the differences. Raises UsageError for values that are not finite, naming `name` and the place.
    """
    array = finite(values, name)
    if not 0 < level < 1 or resamples < 100:
        raise UsageError(
            f"A level of {level} and {resamples} resamples were given.",
            hint="Give a level between 0 and 1, such as 0.95, and at least 100 resamples.",
        )
    group = np.arange(len(array)) if clusters is None else numbered(clusters, len(array))
    totals, sizes = sums(group, array), np.bincount(group).astype(np.float64)
    means = resampled_means(totals, sizes, resamples, np.random.default_rng(seed))
    tail = expanded_tail((1 - level) / 2, len(totals))
    low, high = np.quantile(means, [tail, 1 - tail])
    over = "queries" if clusters is None else "clusters"
    return Interval(float(array.mean()), float(low), float(high), level, len(totals), over, resamples, seed)


def expanded_tail(tail: float, units: int) -> float:
    """Return the share to leave out at each end so that an interval over few units still holds its level."""
    if units < 2:
        return tail
    from scipy.special import stdtrit  # type: ignore[import-untyped] # scipy ships no types

    return NormalDist().cdf(float(stdtrit(units - 1, tail)) * math.sqrt(units / (units - 1)))


def resampled_means(totals: Floats, sizes: Floats, resamples: int, chance: np.random.Generator) -> Floats:
    """Return the mean of each resample of units that hold `sizes` values with the given `totals`."""
    units = len(totals)
    even = bool((sizes == sizes[0]).all())
    rows = max(1, min(resamples, BLOCK // units))
    means = np.empty(resamples, np.float64)
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        drawn = chance.integers(0, units, (count, units), dtype=np.int32)
        if even:
            means[first : first + count] = totals[drawn].sum(axis=1) / (units * sizes[0])
            continue
        place = drawn + (np.arange(count, dtype=np.int64) * units)[:, None]
        weights = np.bincount(place.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
        means[first : first + count] = (weights @ totals) / (weights @ sizes)
    return means
