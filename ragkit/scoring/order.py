"""The total order of scored chunks: score from high to low, then the raw score, the first stage's rank, the chunk id.

The raw score is the one before calibration: where that makes scores equal (a plateau, a saturated sigmoid, a clamped
cosine), what the scorer said still decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ContractError

Scores = NDArray[np.float64]
"""One score per candidate, shape (candidates,); higher is better."""


class ChunkScore(NamedTuple):
    """What a chunk scored, and what breaks ties: `raw`, its rank in the first stage, counted from 1, and its id."""

    score: float
    rank: int
    chunk_id: str
    raw: float = 0.0
    """The score before calibration."""


def descending(scored: Sequence[ChunkScore]) -> list[int]:
    """Return the places of `scored` from best to worst; equal scores, raw ones too, keep the first stage's order.

    Raises ContractError for a score that is not a number.

    >>> descending([ChunkScore(0.5, 1, "a"), ChunkScore(0.9, 2, "b"), ChunkScore(0.5, 1, "A")])
    [1, 2, 0]
    """
    finite([one.score for one in scored], "chunk scores")

    def key(place: int) -> tuple[float, float, int, str]:
        one = scored[place]
        return -one.score, -one.raw, one.rank, one.chunk_id

    return sorted(range(len(scored)), key=key)


def rounding(scores: Scores) -> float:
    """Return how far differences of `scores` may be off because they are floating-point numbers.

    >>> rounding(np.array([0.9, 0.6, 0.3])) < 1e-14
    True
    """
    return 16 * float(np.finfo(np.float64).eps) * float(np.abs(scores).max(initial=0.0))


def finite(scores: Sequence[float] | Scores, origin: str, count: int | None = None) -> Scores:
    """Return `scores` as an array; raise ContractError, naming `origin`, where one is NaN or infinite.

    It is raised too where there are not `count` of them (None: as many as there are).
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ContractError(
            f"The {origin} have the shape {values.shape}; expected one number for each candidate.",
            hint="Give a flat list of scores.",
        )
    if count is not None and len(values) != count:
        raise ContractError(
            f"The {origin} are {len(values)}; expected {count}, one for each candidate.",
            hint="Repair what computes the scores: it must answer for every text, in order.",
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ContractError(
            f"The {origin} hold {values[bad[0]]} at place {int(bad[0])}; expected finite numbers.",
            hint="Repair what computes the scores: a cut at NaN would be arbitrary.",
        )
    return values
