"""A fixed score that must be reached: EXIT's rule for sentences (arXiv 2412.12559), r >= 0.5."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ragkit.errors import ConfigError
from ragkit.scoring.cut import Cut, Invariance
from ragkit.scoring.fixed import capped, check_bounds, floored
from ragkit.scoring.order import Scores


@dataclass(frozen=True, slots=True)
class Threshold:
    """Keeps scores of at least `least`, and the first `min_k` whatever they score.

    It survives no change of scale: what 0.5 means is up to whoever scores. Raises ConfigError for a threshold that is
    not finite and for bounds below 1 or crossed.
    """

    least: float = 0.5
    min_k: int = 1
    max_k: int | None = None

    name: ClassVar[str] = "threshold"
    signed: ClassVar[bool] = True
    invariances: ClassVar[frozenset[Invariance]] = frozenset()

    def __post_init__(self) -> None:
        check_bounds(self.min_k, self.max_k)
        if not math.isfinite(self.least):
            raise ConfigError(f"least is {self.least}; expected a finite number.", hint="Probabilities suit 0.5.")

    def decide(self, scores: Scores) -> Cut:
        """Return how many scores reach the threshold, `min_k` at least."""
        kept = int((scores >= self.least).sum())
        found = Cut(kept, f"scores below {self.least:g} are left out")
        return capped(floored(found, self.min_k, len(scores)), self.max_k)
