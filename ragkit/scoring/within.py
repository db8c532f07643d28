"""A fixed distance from the best score: few are kept where one stands out, many where nothing does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ragkit.errors import ConfigError
from ragkit.scoring.cut import Cut, Invariance
from ragkit.scoring.fixed import capped, check_bounds, floored
from ragkit.scoring.order import Scores, rounding


@dataclass(frozen=True, slots=True)
class Within:
    """Keeps scores at most `gap` below the best, and the first `min_k` in any case.

    The gap is in the unit of the scores: it suits logits and standard deviations, whose zero means nothing. What lies
    beyond it by no more than numbers round is kept, so that a shift of all scores changes nothing. Raises ConfigError
    for a gap that is negative or not finite, and for bounds below 1 or crossed.
    """

    gap: float = 1.0
    min_k: int = 1
    max_k: int | None = None

    name: ClassVar[str] = "within"
    signed: ClassVar[bool] = True
    invariances: ClassVar[frozenset[Invariance]] = frozenset({Invariance.SHIFT})

    def __post_init__(self) -> None:
        check_bounds(self.min_k, self.max_k)
        if not math.isfinite(self.gap) or self.gap < 0:
            raise ConfigError(f"gap is {self.gap}; expected 0 or more.", hint="1.0 keeps what is at most 1 below.")

    def decide(self, scores: Scores) -> Cut:
        """Return how many scores lie within the gap, `min_k` at least."""
        kept = int((scores[0] - scores <= self.gap + rounding(scores)).sum())
        found = Cut(kept, f"scores more than {self.gap:g} below the best, {scores[0]:.4g}, are left out")
        return capped(floored(found, self.min_k, len(scores)), self.max_k)
