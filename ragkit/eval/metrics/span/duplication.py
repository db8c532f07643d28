"""Duplication: how much of the retrieved text was retrieved before."""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.axis import Unit
from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats, share
from ragkit.eval.metrics.measure import declare
from ragkit.eval.metrics.scoring import Scoring
from ragkit.eval.metrics.span.options import UNIT


def _score(run: Scoring, cutoff: Cutoff | None, *, unit: Unit) -> Floats:
    sums = run.spans(unit, cutoff)
    return np.where(sums.retrieved > 0, 1.0 - share(sums.union, sums.retrieved), 0.0)


Duplication = declare(
    "Duplication",
    "retrieval",
    _score,
    "share of the retrieved text that repeats other retrieved text",
    lower_is_better=True,
    unit=UNIT,
)
