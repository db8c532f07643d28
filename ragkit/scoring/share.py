"""Candidate pruning: keep what reaches a share of the k-th score (arXiv 2601.05200, pruning before reranking)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ragkit.errors import ConfigError
from ragkit.scoring.cut import Cut, Invariance
from ragkit.scoring.fixed import capped, check_bounds
from ragkit.scoring.order import Scores


@dataclass(frozen=True, slots=True)
class Share:
    """Keeps score i if s_i >= (1 - alpha) * s_k; the first `k` always, and nothing behind them that scores 0.

    The paper uses alpha from 0.015 to 0.05. Raises ConfigError for an alpha outside [0, 1].
    """

    k: int = 5
    alpha: float = 0.05
    max_k: int | None = None

    name: ClassVar[str] = "share"
    signed: ClassVar[bool] = False
    invariances: ClassVar[frozenset[Invariance]] = frozenset({Invariance.SCALE})

    def __post_init__(self) -> None:
        check_bounds(self.k, self.max_k, what="k")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"alpha is {self.alpha}; expected 0 to 1.", hint="The paper uses 0.015 to 0.05.")

    def decide(self, scores: Scores) -> Cut:
        """Return how many reach the share; all where there are at most k."""
        if len(scores) <= self.k:
            return Cut(len(scores), f"there are no more than {self.k} candidates")
        least = (1 - self.alpha) * float(scores[self.k - 1])
        kept = max(self.k, int(((scores >= least) & (scores > 0)).sum()))
        found = Cut(kept, f"scores below {least:.4g}, {1 - self.alpha:g} of score {self.k}, are left out")
        return capped(found, self.max_k)
