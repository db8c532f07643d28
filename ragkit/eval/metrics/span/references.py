"""Measures of whole references: a merged reference counts as found if enough of it lies in the retrieved union."""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.axis import Unit
from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats, Ints, share
from ragkit.eval.metrics.measure import Option, declare
from ragkit.eval.metrics.relevance import ROUNDING
from ragkit.eval.metrics.scoring import Scoring
from ragkit.eval.metrics.span.options import UNIT

SMALLEST_COVER = 1e-6
"""A cover of 0 would call references found of which nothing was retrieved."""


def _found(run: Scoring, cutoff: Cutoff | None, unit: Unit, cover: float) -> tuple[Ints, Ints]:
    """Return references found, and references, per query."""
    sums = run.spans(unit, cutoff)
    enough = sums.found >= cover * sums.references.lengths * (1 - ROUNDING)
    queries = len(sums.gold)
    owner = sums.references.query
    return np.bincount(owner[enough], minlength=queries), np.bincount(owner, minlength=queries)


def reference_share(run: Scoring, cutoff: Cutoff | None, *, unit: Unit, cover: float) -> Floats:
    """Return the share of references of which at least `cover` lies in the retrieved union."""
    found, every = _found(run, cutoff, unit, cover)
    return share(found, every)


def _all_found(run: Scoring, cutoff: Cutoff | None, *, unit: Unit, cover: float) -> Floats:
    found, every = _found(run, cutoff, unit, cover)
    return np.where(found == every, 1.0, 0.0)


ReferenceHit = declare(
    "ReferenceHit",
    "retrieval",
    reference_share,
    "share of the references of which at least `cover` was retrieved",
    unit=UNIT,
    cover=Option(0.5, low=SMALLEST_COVER, high=1.0),
)

FullEvidence = declare(
    "FullEvidence",
    "retrieval",
    _all_found,
    "1 if at least `cover` of every reference was retrieved, else 0",
    unit=UNIT,
    cover=Option(1.0, low=SMALLEST_COVER, high=1.0),
)
