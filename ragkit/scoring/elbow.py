"""METEORA's elbow: cut before the first gap between neighbouring scores that stands out (arXiv 2505.16014, ECSE 2).

Gaps are compared with their mean and population standard deviation; the first with z > 1 ends the list. Where none
does, the largest second difference D_i = gap_{i+1} - gap_i decides. A large D_i means that the *next* gap is the big
one: the paper and its code cut `before` it, one chunk early; `at_drop`, ours, cuts at the gap itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ragkit.errors import ConfigError
from ragkit.scoring.cut import Cut, Invariance
from ragkit.scoring.fixed import capped, check_bounds, floored
from ragkit.scoring.order import Scores, rounding

_TINY = 1e-9
"""Relative to the largest gap: differences of gaps that are not worth a decision."""


@dataclass(frozen=True, slots=True)
class Elbow:
    """Keeps what stands before the first outstanding gap; `rule` "second_difference" skips the test by z.

    z is taken over all gaps, so that a long list of ordinary ones makes the first one near the top stand out: `pool`
    looks at the best so many scores only. One or two scores are all kept; of gaps that widen alike, up to rounding, the
    first counts. Raises ConfigError for bounds that are crossed, a threshold that is not finite and a pool below 3.
    """

    z_threshold: float = 1.0
    rule: Literal["z", "second_difference"] = "z"
    fallback_cut: Literal["at_drop", "before"] = "at_drop"
    pool: int | None = None
    min_k: int = 1
    max_k: int | None = None

    name: ClassVar[str] = "elbow"
    signed: ClassVar[bool] = True
    invariances: ClassVar[frozenset[Invariance]] = frozenset({Invariance.SCALE, Invariance.SHIFT})

    def __post_init__(self) -> None:
        check_bounds(self.min_k, self.max_k)
        if not math.isfinite(self.z_threshold):
            raise ConfigError(f"z_threshold is {self.z_threshold}; expected a finite number.", hint="METEORA uses 1.")
        if self.pool is not None and self.pool < 3:
            raise ConfigError(f"pool is {self.pool}; expected at least 3 scores.", hint="Two scores have no elbow.")

    def decide(self, scores: Scores) -> Cut:
        """Return the cut at the elbow of `scores`."""
        found = self._elbow(scores[: self.pool])
        return capped(floored(found, self.min_k, len(scores)), self.max_k)

    def _elbow(self, scores: Scores) -> Cut:
        if len(scores) <= 2:
            return Cut(len(scores), "one score has no elbow" if len(scores) == 1 else "two scores have no elbow")
        gaps = -np.diff(scores)
        same = max(_TINY * float(gaps.max()), rounding(scores))  # what differs by less is equal: a matter of rounding
        deviation = float(gaps.std())
        if self.rule == "z" and deviation > same:
            z = (gaps - gaps.mean()) / deviation
            out = np.flatnonzero(gaps - gaps.mean() > self.z_threshold * deviation + same)
            if len(out):
                place = int(out[0])
                return Cut(
                    place + 1, f"the gap after score {place + 1}, {gaps[place]:.4g}, stands out: z {z[place]:.2f}"
                )
        widening = np.diff(gaps)
        place = int(np.flatnonzero(widening >= widening.max() - same)[0])  # the first of equals
        kept = place + 1 if self.fallback_cut == "before" else place + 2
        if widening[place] <= same:
            return Cut(kept, "no gap is wider than the one before it; the first place counts")
        return Cut(kept, f"the gaps widen most after score {place + 2}")


PAPER = Elbow(fallback_cut="before")
"""METEORA as published."""
