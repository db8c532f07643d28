"""Precision, recall and F1 of the returned units as a set; without a cut-off the measures of a selector's choice."""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats, share
from ragkit.eval.metrics.measure import declare
from ragkit.eval.metrics.rank.options import MIN_COVER, UNIT
from ragkit.eval.metrics.scoring import RankUnit, Scoring


def _precision(run: Scoring, cutoff: Cutoff | None, *, unit: RankUnit, min_cover: float) -> Floats:
    ranking = run.ranking(unit, cutoff, min_cover)
    # @k divides by k even if fewer were returned; a budget or a set has no k
    fixed = cutoff is not None and cutoff.kind == "k"
    return share(ranking.relevant, np.full(ranking.queries, cutoff.size) if fixed and cutoff else ranking.returned)


def _recall(run: Scoring, cutoff: Cutoff | None, *, unit: RankUnit, min_cover: float) -> Floats:
    # a relevant unit that no chunk covers enough can make the pool empty: nothing could be found, so 0
    return share(run.ranking(unit, cutoff, min_cover).relevant, run.pool(unit, min_cover).size)


def _f1(run: Scoring, cutoff: Cutoff | None, *, unit: RankUnit, min_cover: float) -> Floats:
    precision = _precision(run, cutoff, unit=unit, min_cover=min_cover)
    recall = _recall(run, cutoff, unit=unit, min_cover=min_cover)
    return share(2 * precision * recall, precision + recall)


P = declare("P", "retrieval", _precision, "share of the first k units that is relevant", unit=UNIT, min_cover=MIN_COVER)

R = declare("R", "retrieval", _recall, "share of the relevant units that was returned", unit=UNIT, min_cover=MIN_COVER)

F1 = declare("F1", "retrieval", _f1, "harmonic mean of P and R", unit=UNIT, min_cover=MIN_COVER)
