"""Quality against boundary density, one curve for each chunker, and all chunkers at one density.

Between two points of a curve lies the chunker that cuts each document by the one setting or, with a fixed probability,
by the other. Its expected BOR and scores are the weighted means of theirs, so that chunkers can be compared at exactly
one mean BOR, document by document, without a setting being tuned on the gold segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ragkit.eval.experiment.resampling import intervals
from ragkit.eval.experiment.scoring import Judge, Values
from ragkit.eval.experiment.segmentation_cuts import Cuts
from ragkit.eval.experiment.segmentation_judging import compared, placements
from ragkit.eval.experiment.segmentation_scoring import Scored
from ragkit.eval.metrics import Measure
from ragkit.eval.results import Curve, CurvePoint, MatchedDensity


@dataclass(frozen=True, slots=True)
class Swept:
    """One setting of a chunker: the value of the option, where it cut, and its values on the curve's measures."""

    value: float
    cuts: Cuts
    scored: Scored

    @property
    def density(self) -> float:
        """Mean BOR over documents."""
        return float(np.mean(self.scored.density))


@dataclass(frozen=True, slots=True)
class Mixed:
    """Two settings, the share of the second, and the values of their mixture."""

    first: Swept
    second: Swept
    share: float

    @property
    def scored(self) -> Scored:
        """Expected values for each document."""
        one, other = self.first.scored, self.second.scored
        return Scored(
            _mix(one.density, other.density, self.share),
            *(
                {name: _mix(values[name], others[name], self.share) for name in values}
                for values, others in ((one.own, other.own), (one.spaced, other.spaced), (one.drawn, other.drawn))
            ),
        )


def mixed_at(points: Sequence[Swept], density: float) -> Mixed | None:
    """Return the mixture of two neighbouring points whose mean BOR is `density`, None where the curve ends before."""
    ordered = sorted(points, key=lambda point: point.density)
    for first, second in pairwise([*ordered, *ordered[-1:]]):
        if first.density <= density <= second.density:
            gap = second.density - first.density
            return Mixed(first, second, (density - first.density) / gap if gap else 0.0)
    return None


def curve(chunker: str, option: str, points: Sequence[Swept], measures: Sequence[Measure], judge: Judge) -> Curve:
    """Return the record of one chunker's curve; points of equal cuts are one."""
    distinct = list({point.cuts.key: point for point in points}.values())
    columns = np.array([point.scored.own[str(measure)] for measure in measures for point in distinct], np.float64).T
    found = iter(intervals(columns, resamples=judge.resamples, seed=judge.seed))
    means = {str(measure): [next(found) for _ in distinct] for measure in measures}
    made = [
        CurvePoint(
            value=point.value,
            density=point.density,
            inside=point.cuts.inside / max(point.cuts.predicted, 1),
            means={name: (of[place].estimate, of[place].low, of[place].high) for name, of in means.items()},
            spaced=_means(point.scored.spaced),
            drawn=_means(point.scored.drawn),
        )
        for place, point in enumerate(distinct)
    ]
    return Curve(chunker=chunker, option=option, points=sorted(made, key=lambda point: point.density))


def at_density(
    families: Mapping[str, Sequence[Swept]], density: float, measures: Sequence[Measure], baseline: str, judge: Judge
) -> MatchedDensity:
    """Return all chunkers whose curve passes `density`, compared there with `baseline`, or the first that does."""
    found = {name: mixture for name, points in families.items() if (mixture := mixed_at(points, density)) is not None}
    scores = {name: mixture.scored for name, mixture in found.items()}
    chosen = baseline if baseline in found else next(iter(found), "")
    means, comparisons = compared(judge, scores, measures, chosen) if found else ({}, [])
    return MatchedDensity(
        density=density,
        mixed={name: (float(m.first.value), float(m.second.value), m.share) for name, m in found.items()},
        not_reached=[name for name in families if name not in found],
        baseline=chosen,
        intervals=means,
        comparisons=comparisons,
        placements=placements(judge, scores, measures) if found else [],
    )


def _mix(first: Sequence[float], second: Sequence[float], share: float) -> list[float]:
    mixed: list[float] = ((1 - share) * np.array(first) + share * np.array(second)).tolist()
    return mixed


def _means(values: Values) -> dict[str, float]:
    return {name: float(np.mean(column)) for name, column in values.items()}
