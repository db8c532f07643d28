"""Hit: whether anything relevant was found; its mean is the hit rate."""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats
from ragkit.eval.metrics.measure import declare
from ragkit.eval.metrics.rank.options import MIN_COVER, UNIT
from ragkit.eval.metrics.scoring import RankUnit, Scoring


def _score(run: Scoring, cutoff: Cutoff | None, *, unit: RankUnit, min_cover: float) -> Floats:
    return (run.ranking(unit, cutoff, min_cover).relevant > 0).astype(np.float64)


Hit = declare("Hit", "retrieval", _score, "1 if any unit is relevant, else 0", unit=UNIT, min_cover=MIN_COVER)
