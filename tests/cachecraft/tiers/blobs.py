"""Blobs for the tests of tiers."""

from __future__ import annotations

import numpy as np

from ragkit.cachecraft.tiers.tier import Blob


def blob(size: int, seed: int = 0) -> Blob:
    return np.random.default_rng([seed, size]).integers(0, 256, size, dtype=np.uint8)


def same(one: Blob | None, other: Blob) -> bool:
    return one is not None and np.array_equal(one, other)
