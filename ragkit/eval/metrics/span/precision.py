"""Span precision: how much of the retrieved text is gold."""

from __future__ import annotations

from ragkit.eval.metrics.axis import Unit
from ragkit.eval.metrics.cutoff import BUDGETS, Cutoff
from ragkit.eval.metrics.geometry import Floats, share
from ragkit.eval.metrics.measure import declare
from ragkit.eval.metrics.scoring import Scoring
from ragkit.eval.metrics.span.options import REDUNDANCY, UNIT


def _score(run: Scoring, cutoff: Cutoff | None, *, unit: Unit, redundancy: str) -> Floats:
    sums = run.spans(unit, cutoff)
    return share(sums.inside, sums.retrieved if redundancy == "sum" else sums.union)


Precision = declare(
    "Precision",
    "retrieval",
    _score,
    "share of the retrieved text that is gold",
    cutoffs=BUDGETS | {"adaptive"},
    unit=UNIT,
    redundancy=REDUNDANCY,
)
