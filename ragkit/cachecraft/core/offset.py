"""The cache fix-up ratio: what share of a reused chunk has to be computed again (Cache-Craft, eq. 12, 14)."""

from __future__ import annotations

import math

from ragkit.cachecraft.core.overlap import Overlap
from ragkit.cachecraft.core.variant import Variant


def cfo(context: float, value: float, alpha: float = 1.0) -> float:
    """Return alpha * CCI * (1 - beta') within [0, 1], from the CCI `context` and the overlap's beta' `value` (eq. 12).

    >>> round(cfo(0.578298, 0.375, 1.6), 4)
    0.5783
    """
    ratio = alpha * context * (1.0 - value)
    return 1.0 if ratio > 1.0 else ratio if ratio > 0.0 else 0.0


def variant_cfo(variant: Variant, shared: Overlap, alpha: float = 1.0) -> float:
    """Return the CFO of a variant; one without statistics has the largest CCI there is, 1."""
    statistics = variant.statistics
    return cfo(1.0 if statistics is None else statistics.cci, shared.value, alpha)


def tokens_to_repair(ratio: float, tokens: int) -> int:
    """Return N, how many of a chunk's tokens are computed again at a CFO of `ratio` (eq. 14).

    >>> tokens_to_repair(0.1, 30)  # 0.1 * 30 is 3.0000000000000004
    3
    """
    return min(max(math.ceil(ratio * tokens - 1e-9), 0), tokens)
