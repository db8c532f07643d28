"""Precision-Omega: how precise retrieval could be over these chunks, were it perfect (metrics.md 1.3)."""

from __future__ import annotations

from ragkit.eval.metrics.axis import Unit
from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats, share
from ragkit.eval.metrics.measure import Option, declare
from ragkit.eval.metrics.scoring import Scoring
from ragkit.eval.metrics.span.options import UNIT


def _score(run: Scoring, cutoff: Cutoff | None, *, unit: Unit, omega: str) -> Floats:  # noqa: ARG001 - never cut
    sums = run.ideal(unit)
    if omega == "sum":
        return share(sums.inside, sums.retrieved)
    return share(sums.inside, sums.union + sums.gold - sums.inside)


PrecisionOmega = declare(
    "PrecisionOmega",
    "retrieval",
    _score,
    "precision of retrieving every chunk that overlaps the gold and no other; needs the corpus's chunks",
    cutoffs=frozenset(),
    unit=UNIT,
    omega=Option("union", choices=("union", "sum")),
)
