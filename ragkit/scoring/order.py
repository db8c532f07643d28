"""The total order of scored chunks: score from high to low, then the first stage's rank, then the chunk id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ContractError

Scores = NDArray[np.float64]
"""One score per candidate, shape (candidates,); higher is better."""


class ChunkScore(NamedTuple):
    """What a chunk scored, and what breaks ties: its rank in the first stage, counted from 1, and its id."""

    score: float
    rank: int
    chunk_id: str


def descending(scored: Sequence[ChunkScore]) -> list[int]:
    """Return the places of `scored` from best to worst; equal scores keep the first stage's order.

    Raises ContractError for a score that is not a number.

    >>> descending([ChunkScore(0.5, 1, "a"), ChunkScore(0.9, 2, "b"), ChunkScore(0.5, 1, "A")])
    [1, 2, 0]
    """
    finite([one.score for one in scored], "chunk scores")
    return sorted(range(len(scored)), key=lambda place: (-scored[place].score, *scored[place][1:]))


def finite(scores: Sequence[float] | Scores, origin: str) -> Scores:
    """Return `scores` as an array; raise ContractError, naming `origin`, where one is NaN or infinite."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ContractError(
            f"The {origin} have the shape {values.shape}; expected one number for each candidate.",
            hint="Give a flat list of scores.",
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ContractError(
            f"The {origin} hold {values[bad[0]]} at place {int(bad[0])}; expected finite numbers.",
            hint="Repair what computes the scores: a cut at NaN would be arbitrary.",
        )
    return values
