"""From values per document to intervals and comparisons: only at equal density, and always beside chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ragkit.eval.experiment.resampling import intervals
from ragkit.eval.experiment.scoring import Intervals, Judge, Values
from ragkit.eval.experiment.segmentation_scoring import RANDOM, SPACED, Scored
from ragkit.eval.metrics import Measure
from ragkit.eval.results import Comparison

BOR = "BOR"
CLOSE = 1.1
"""Ratio of two mean BORs up to which a difference between their chunkers may have a winner."""


def compared(
    judge: Judge, found: Mapping[str, Scored], measures: Sequence[Measure], baseline: str
) -> tuple[Intervals, list[Comparison]]:
    """Return the intervals over documents, those of BOR among them, and the comparisons of all with `baseline`.

    A system whose mean BOR is not that of the baseline (ratio above 1.1) has no winner: it would be decided by how
    many boundaries there are, not by where they are (Coen 2025).
    """
    documents = [""] * len(next(iter(found.values())).density)
    scores = {system: item.own for system, item in found.items()}
    means, comparisons = judge.judged(scores, measures, baseline, documents)
    densities = np.array([item.density for item in found.values()], np.float64).T
    counted = intervals(densities, resamples=judge.resamples, seed=judge.seed)
    means[BOR] = {system: (one.estimate, one.low, one.high) for system, one in zip(found, counted, strict=True)}
    base = means[BOR][baseline][0]
    return means, [
        item if alike(means[BOR][item.system][0], base) else item.model_copy(update={"winner": None})
        for item in comparisons
    ]


def placements(judge: Judge, found: Mapping[str, Scored], measures: Sequence[Measure]) -> list[Comparison]:
    """Return each system against as many boundaries of its own, drawn at random and equally spaced, paired.

    p-values are corrected over the systems of one measure and baseline.
    """
    made: list[Comparison] = []
    for name in (RANDOM, SPACED):
        differences = {
            system: _minus(item.own, item.drawn if name == RANDOM else item.spaced) for system, item in found.items()
        }
        label = f"as many {name}"
        none = {str(measure): [0.0] * len(next(iter(found.values())).density) for measure in measures}
        documents = [""] * len(none[str(measures[0])])
        made += judge.judged({**differences, label: none}, measures, label, documents)[1]
    return made


def alike(first: float, second: float) -> bool:
    """Return whether two mean BORs are near enough for their systems to be compared.

    >>> alike(1.0, 1.08), alike(1.0, 1.3)
    (True, False)
    """
    return first == second or (min(first, second) > 0 and abs(math.log(first / second)) <= math.log(CLOSE))


def _minus(first: Values, second: Values) -> Values:
    return {name: (np.array(first[name]) - np.array(second[name])).tolist() for name in first}
