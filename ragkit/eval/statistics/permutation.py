"""Paired permutation test: were the two systems the same, the sign of each difference would be chance.

Two-sided, on the mean difference. All sign patterns are tried where they are few (exact test); otherwise random ones,
and the observed pattern counts as one of them, so that p is never 0 (Phipson & Smyth 2010).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragkit.errors import UsageError
from ragkit.eval.statistics.bootstrap import BLOCK, RESAMPLES, SEED
from ragkit.eval.statistics.values import Floats, finite, numbered, sums

EXACT = 13
"""Up to so many differences all 2^n sign patterns are fewer than the default number of random ones."""


def permutation_p_value(
    differences: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    permutations: int = RESAMPLES,
    seed: int = SEED,
) -> float:
    """Return the two-sided p-value of paired `differences`; with `clusters` the signs flip cluster by cluster.

    Raises UsageError for differences that are not finite, and for fewer than 100 permutations.
    """
    array = finite(differences, "the differences")
    if permutations < 100:
        raise UsageError(f"{permutations} permutations were given.", hint="Give at least 100.")
    if clusters is not None:
        array = sums(numbered(clusters, len(array)), array)
    array = array[array != 0]
    # sums in another order differ in the last bits, and a pattern as extreme as the observed one must count
    least = abs(array.sum()) - 1e-12 * np.abs(array).sum()
    if len(array) <= EXACT:
        patterns = (np.arange(2 ** len(array))[:, None] >> np.arange(len(array))) & 1
        return float((_sums(array, patterns.astype(np.float64)) >= least).mean())
    chance = np.random.default_rng(seed)
    rows, extreme = max(1, BLOCK // len(array)), 0
    for first in range(0, permutations, rows):
        count = min(rows, permutations - first)
        bits = np.unpackbits(np.frombuffer(chance.bytes(-(-count * len(array) // 8)), np.uint8))
        signs = bits[: count * len(array)].reshape(count, len(array)).astype(np.float64)
        extreme += int((_sums(array, signs) >= least).sum())
    return (extreme + 1) / (permutations + 1)


def _sums(values: Floats, patterns: NDArray[np.float64]) -> Floats:
    """Return the absolute sum of the values under each pattern of signs (1: kept, 0: flipped)."""
    totals: Floats = np.abs(2 * (patterns @ values) - values.sum())
    return totals
