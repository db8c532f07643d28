"""Span recall: how much of the gold text was retrieved."""

from __future__ import annotations

from ragkit.eval.metrics.axis import Unit
from ragkit.eval.metrics.cutoff import BUDGETS, Cutoff
from ragkit.eval.metrics.geometry import Floats, share
from ragkit.eval.metrics.measure import declare
from ragkit.eval.metrics.scoring import Scoring
from ragkit.eval.metrics.span.options import REDUNDANCY, UNIT


def _score(run: Scoring, cutoff: Cutoff | None, *, unit: Unit, redundancy: str) -> Floats:  # noqa: ARG001
    # references are merged on load, so that the sum of their lengths is the length of their union
    sums = run.spans(unit, cutoff)
    return share(sums.inside, sums.gold)


Recall = declare(
    "Recall",
    "retrieval",
    _score,
    "share of the gold text inside the retrieved spans",
    cutoffs=BUDGETS | {"adaptive"},
    unit=UNIT,
    redundancy=REDUNDANCY,
)
