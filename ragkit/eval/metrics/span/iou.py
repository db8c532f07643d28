"""Intersection over union of retrieved and gold text."""

from __future__ import annotations

from ragkit.eval.metrics.axis import Unit
from ragkit.eval.metrics.cutoff import BUDGETS, Cutoff
from ragkit.eval.metrics.geometry import Floats, share
from ragkit.eval.metrics.measure import declare
from ragkit.eval.metrics.scoring import Scoring
from ragkit.eval.metrics.span.options import REDUNDANCY, UNIT


def _score(run: Scoring, cutoff: Cutoff | None, *, unit: Unit, redundancy: str) -> Floats:
    sums = run.spans(unit, cutoff)
    retrieved = sums.retrieved if redundancy == "sum" else sums.union
    return share(sums.inside, retrieved + sums.gold - sums.inside)


IoU = declare(
    "IoU",
    "retrieval",
    _score,
    "gold text retrieved, over gold and retrieved text together",
    cutoffs=BUDGETS | {"adaptive"},
    unit=UNIT,
    redundancy=REDUNDANCY,
)
