"""Bootstrap intervals of many columns at once: the same resamples for all, so that one matrix product gives all means.

The resamples are those of `ragkit.eval.statistics.mean_interval` for the same seed, and so are the intervals, up to
rounding; only the time differs.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from ragkit.eval.statistics.bootstrap import BLOCK, Interval, expanded_tail
from ragkit.eval.statistics.values import Floats, numbered, sums

_COLUMNS = 256
"""Columns whose resampled means are held at once: 20 MB at 10,000 resamples."""


def intervals(
    columns: Floats,
    clusters: Sequence[Hashable] | None = None,
    *,
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> list[Interval]:
    """Return the interval of the mean of each column of `columns`, shape (queries, columns)."""
    queries = len(columns)
    group = np.arange(queries) if clusters is None else numbered(clusters, queries)
    sizes = np.bincount(group).astype(np.float64)
    totals = columns if clusters is None else np.column_stack([sums(group, column) for column in columns.T])
    over = "queries" if clusters is None else "clusters"
    weights = _weights(len(sizes), resamples, seed)
    tail = expanded_tail((1 - level) / 2, len(sizes))
    found: list[Interval] = []
    for first in range(0, columns.shape[1], _COLUMNS):
        part = totals[:, first : first + _COLUMNS]
        means = _means(weights, part, sizes)
        low, high = np.quantile(means, [tail, 1 - tail], axis=0)
        estimates = columns[:, first : first + _COLUMNS].mean(axis=0)
        found += [
            Interval(float(estimate), float(a), float(b), level, len(sizes), over, resamples, seed)
            for estimate, a, b in zip(estimates, low, high, strict=True)
        ]
    return found


def _weights(units: int, resamples: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    """Return how often each unit occurs in each resample, drawn in the blocks of the bootstrap module."""
    chance = np.random.default_rng(seed)
    rows = max(1, min(resamples, BLOCK // units))
    weights = np.empty((resamples, units), np.uint16)
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        drawn = chance.integers(0, units, (count, units), dtype=np.int32)
        place = drawn + (np.arange(count, dtype=np.int64) * units)[:, None]
        weights[first : first + count] = np.bincount(place.ravel(), minlength=count * units).reshape(count, units)
    return weights


def _means(weights: np.ndarray[tuple[int, int], np.dtype[np.uint16]], totals: Floats, sizes: Floats) -> Floats:
    """Return the mean of every column in every resample."""
    means = np.empty((len(weights), totals.shape[1]), np.float64)
    rows = max(1, BLOCK // len(sizes))
    for first in range(0, len(weights), rows):
        block = weights[first : first + rows].astype(np.float64)
        means[first : first + rows] = (block @ totals) / (block @ sizes)[:, None]
    return means
