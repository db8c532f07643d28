"""Purity and coverage: how far predicted segments stay within one gold segment, and the other way round."""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.measure import declare


def _purity(gold: frozenset[int], predicted: frozenset[int], n: int) -> float:
    """Return the mean over units of whether they lie in the gold segment that fills most of their segment."""
    edges = np.array(sorted({0, n} | gold | predicted), np.int64)
    lengths = np.diff(edges)
    inside_gold = np.searchsorted(sorted(gold), edges[:-1], side="right")
    inside_predicted = np.searchsorted(sorted(predicted), edges[:-1], side="right")
    # each stretch between neighbouring edges is the whole overlap of one gold with one predicted segment
    largest = np.zeros(len(predicted) + 1, np.int64)
    np.maximum.at(largest, inside_predicted, np.bincount(_pairs(inside_predicted, inside_gold), lengths).astype(int))
    return float(largest.sum()) / n


def _pairs(
    first: np.ndarray[tuple[int], np.dtype[np.int64]], second: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.unique(np.column_stack((first, second)), axis=0, return_inverse=True)[1].ravel()


def _coverage(gold: frozenset[int], predicted: frozenset[int], n: int) -> float:
    return _purity(predicted, gold, n)


Purity = declare("Purity", "segmentation", _purity, "share of units in the main gold segment of their segment")

Coverage = declare("Coverage", "segmentation", _coverage, "share of units in the main segment of their gold segment")
