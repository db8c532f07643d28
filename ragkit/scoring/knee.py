"""The knee of the score curve: where it lies farthest below a straight line (Kneedle, Satopää et al., ICDCSW 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ragkit.errors import ConfigError
from ragkit.scoring.cut import Cut, Invariance
from ragkit.scoring.fixed import capped, check_bounds, floored
from ragkit.scoring.order import Scores, rounding


@dataclass(frozen=True, slots=True)
class Knee:
    """Keeps what stands before the score that lies farthest below the line from the best score to the worst.

    The curve falls there to its flat tail. Places and scores are rescaled to [0, 1]; a curve that nowhere lies below
    the line has no knee and is kept whole. The worst score draws the line, so that the length of the list matters:
    `pool` looks at the best so many scores only. Raises ConfigError for bounds that are crossed and a pool below 3.
    """

    pool: int | None = None
    min_k: int = 1
    max_k: int | None = None

    name: ClassVar[str] = "knee"
    signed: ClassVar[bool] = True
    invariances: ClassVar[frozenset[Invariance]] = frozenset({Invariance.SCALE, Invariance.SHIFT})

    def __post_init__(self) -> None:
        check_bounds(self.min_k, self.max_k)
        if self.pool is not None and self.pool < 3:
            raise ConfigError(f"pool is {self.pool}; expected at least 3 scores.", hint="Two scores have no knee.")

    def decide(self, scores: Scores) -> Cut:
        """Return the cut at the knee of `scores`."""
        pool = scores[: self.pool]
        found = Cut(len(scores), "the scores fall nowhere below a straight line: there is no knee")
        span = float(pool[0] - pool[-1])
        below = span * np.linspace(1.0, 0.0, len(pool)) + pool[-1] - pool
        same = rounding(scores)
        if float(below.max()) > same:
            place = int(np.flatnonzero(below >= below.max() - same)[0])  # the first of equals, up to rounding
            found = Cut(place, f"score {place + 1}, {pool[place]:.4g}, lies farthest below the line to the last one")
        return capped(floored(found, self.min_k, len(scores)), self.max_k)
