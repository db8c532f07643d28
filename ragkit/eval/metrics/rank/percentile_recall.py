"""The recall that the enterprise-metadata code calls a hit rate (metrics.md 2.1); it is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ragkit.errors import UsageError


def top_percentile_recall(ranked: Sequence[str], silver: Mapping[str, float], k: int, p: float = 95.0) -> float:
    """Return the share of the documents whose silver score is at or above the p-th percentile that the top k hold.

    The percentile is interpolated linearly over all silver scores. Raises UsageError without silver scores, for a
    percentile outside 0 to 100 and for a k below 1.

    >>> top_percentile_recall(["b", "a"], {"a": 0.9, "b": 0.1, "c": 0.2}, k=1, p=60)
    0.0
    """
    if not silver or not 0 <= p <= 100 or k < 1 or not all(map(np.isfinite, silver.values())):
        raise UsageError(
            f"{len(silver)} silver scores, k = {k} and p = {p} were given.",
            hint="Give at least one finite silver score, k of at least 1 and p from 0 to 100.",
        )
    least = np.percentile(list(silver.values()), p)
    wanted = {unit for unit, score in silver.items() if score >= least}
    return len(wanted & set(ranked[:k])) / len(wanted)
