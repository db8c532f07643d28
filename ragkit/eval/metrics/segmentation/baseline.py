"""Baselines with a given number of boundaries: spaced equally, or at random. Methods are compared beside them."""

from __future__ import annotations

import numpy as np

from ragkit.errors import UsageError


def equally_spaced(count: int, n: int) -> list[int]:
    """Return `count` distinct boundaries that cut `n` units into pieces as equal as can be."""
    _check(count, n)
    return [(place * n) // (count + 1) for place in range(1, count + 1)]


def at_random(count: int, n: int, seed: int) -> list[int]:
    """Return `count` distinct boundaries between `n` units, drawn with the seed."""
    _check(count, n)
    drawn = np.random.default_rng(seed).permutation(np.arange(1, n))[:count]
    return sorted(int(position) for position in drawn)


def _check(count: int, n: int) -> None:
    if not 0 <= count < n:
        raise UsageError(f"{count} boundaries between {n} units were asked for.", hint="Give from 0 to n - 1.")
