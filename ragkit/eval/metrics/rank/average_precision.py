"""Average precision; its mean is the MAP."""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats, share
from ragkit.eval.metrics.measure import Option, declare
from ragkit.eval.metrics.rank.options import MIN_COVER, ONLY_K, UNIT
from ragkit.eval.metrics.ranking import running
from ragkit.eval.metrics.scoring import RankUnit, Scoring


def _score(run: Scoring, cutoff: Cutoff | None, *, unit: RankUnit, min_cover: float, ap_norm: bool) -> Floats:
    ranking = run.ranking(unit, cutoff, min_cover)
    relevant = (ranking.grade > 0).astype(np.int64)
    precision = running(relevant, ranking.query, ranking.queries) / (ranking.position + 1.0)
    pool = run.pool(unit, min_cover).size
    if ap_norm and cutoff is not None and cutoff.size is not None:
        pool = np.minimum(pool, cutoff.size)
    return share(ranking.sum(relevant * precision), pool)


AP = declare(
    "AP",
    "retrieval",
    _score,
    "mean precision at the ranks of all relevant units; with ap_norm over min(their number, k)",
    cutoffs=ONLY_K,
    ordered=True,
    unit=UNIT,
    min_cover=MIN_COVER,
    ap_norm=Option(False),
)
