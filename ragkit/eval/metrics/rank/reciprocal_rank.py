"""Reciprocal rank; its mean is the MRR."""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats
from ragkit.eval.metrics.measure import declare
from ragkit.eval.metrics.rank.options import MIN_COVER, UNIT
from ragkit.eval.metrics.scoring import RankUnit, Scoring


def _score(run: Scoring, cutoff: Cutoff | None, *, unit: RankUnit, min_cover: float) -> Floats:
    ranking = run.ranking(unit, cutoff, min_cover)
    relevant = np.flatnonzero(ranking.grade)
    values = np.zeros(ranking.queries, np.float64)
    np.maximum.at(values, ranking.query[relevant], 1.0 / (ranking.position[relevant] + 1.0))
    return values


RR = declare(
    "RR",
    "retrieval",
    _score,
    "1 / rank of the first relevant unit, 0 without one",
    ordered=True,
    unit=UNIT,
    min_cover=MIN_COVER,
)
