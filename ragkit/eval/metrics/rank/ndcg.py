"""Discounted cumulative gain, alone and against the ideal order of the whole judged pool."""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats, Ints, share, totals
from ragkit.eval.metrics.measure import Option, declare
from ragkit.eval.metrics.rank.options import MIN_COVER, ONLY_K, UNIT
from ragkit.eval.metrics.ranking import discount, positions
from ragkit.eval.metrics.scoring import RankUnit, Scoring

GAIN = Option("linear", choices=("linear", "exponential"))
"""The gain of grade g: g, or 2^g - 1."""


def gained(grade: Floats, position: Ints, gain: str) -> Floats:
    """Return the discounted gain of each unit."""
    return (grade if gain == "linear" else np.exp2(grade) - 1.0) * discount(position)


def _dcg(run: Scoring, cutoff: Cutoff | None, *, unit: RankUnit, min_cover: float, gain: str) -> Floats:
    ranking = run.ranking(unit, cutoff, min_cover)
    return ranking.sum(gained(ranking.grade, ranking.position, gain))


def _ndcg(run: Scoring, cutoff: Cutoff | None, *, unit: RankUnit, min_cover: float, gain: str) -> Floats:
    pool = run.pool(unit, min_cover)
    position, _ = positions(pool.query, run.layout.queries)
    value = gained(pool.grade, position, gain)
    if cutoff is not None and cutoff.size is not None:
        value = np.where(position < cutoff.size, value, 0.0)
    ideal = totals(pool.query, value, run.layout.queries)
    return share(_dcg(run, cutoff, unit=unit, min_cover=min_cover, gain=gain), ideal)


DCG = declare(
    "DCG",
    "retrieval",
    _dcg,
    "sum of gain / log2(rank + 1)",
    cutoffs=ONLY_K,
    ordered=True,
    unit=UNIT,
    min_cover=MIN_COVER,
    gain=GAIN,
)

nDCG = declare(  # noqa: N816 - the field's own spelling
    "nDCG",
    "retrieval",
    _ndcg,
    "DCG over that of the ideal order of all relevant units",
    cutoffs=ONLY_K,
    ordered=True,
    unit=UNIT,
    min_cover=MIN_COVER,
    gain=GAIN,
)
