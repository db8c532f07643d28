"""How much of what is reused is computed again, and in what runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ragkit.errors import UsageError

BetaMode = Literal["paper", "symmetric", "count"]
BETA_MODES = get_args(BetaMode)


@dataclass(frozen=True, slots=True)
class Repair:
    """The budget of a plan; the same for every policy, so that policies are compared at equal cost.

    `share`: this share of all tokens of reused chunks is repaired. `alpha`, where given, takes its place: eq. 12 and 14
    say how many tokens of each chunk, and a chunk with a CFO of `full_threshold` or more is computed as a whole (with
    `share` that rule is off: it would break the share). `run_length`: repairs come in aligned runs of so many tokens of
    a chunk. Raises UsageError for values out of range.
    """

    share: float = 0.3
    alpha: float | None = None
    run_length: int = 1
    full_threshold: float = 0.75
    beta_mode: BetaMode = "paper"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(f"A repair share of {self.share} was given; expected 0 to 1.")
        if self.alpha is not None and not (self.alpha >= 0 and math.isfinite(self.alpha)):
            raise UsageError(
                f"An alpha of {self.alpha} was given; expected 0 or more.", hint="Values up to 2 are usual."
            )
        if self.run_length < 1:
            raise UsageError(f"A run length of {self.run_length} was given; expected 1 token or more.")
        if not self.full_threshold > 0:
            raise UsageError(f"A full_threshold of {self.full_threshold} was given; expected more than 0.")
        if self.seed < 0:
            raise UsageError(f"A seed of {self.seed} was given; expected 0 or more.")
        if self.beta_mode not in BETA_MODES:
            raise UsageError(f"The beta_mode {self.beta_mode!r} was given; expected one of {BETA_MODES}.")
