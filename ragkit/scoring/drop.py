"""SAGE's cut: keep the best while the score does not fall sharply (arXiv 2503.01713, gradient-based selection).

The paper's inequality, its prose and its intention contradict each other: as printed, s_i > score / g with g = 0.3 can
never hold and always keeps `min_k`. All readings are here: `literal` is the printed one, `ratio` its inversion,
`relative_drop` the intention ("before a decrease rate of g").

`scan_after_floor`, the paper's, starts to look behind the first `min_k`. A cliff above that place goes unseen, and the
gentle tail below it is kept whole. `floor_after_scan` looks at all scores as if `min_k` were 1 and then keeps `min_k`
at least.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from ragkit.errors import ConfigError
from ragkit.scoring.cut import Cut, Invariance
from ragkit.scoring.fixed import capped, check_bounds, floored
from ragkit.scoring.order import Scores

Rule = Literal["relative_drop", "ratio", "literal"]
Reference = Literal["predecessor", "anchor"]
Floor = Literal["floor_after_scan", "scan_after_floor"]


@dataclass(frozen=True, slots=True)
class Drop:
    """Keeps scores until one fails against its reference: the one before it, or the anchor where the scan starts.

    Kept is s_i >= (1 - g) * reference (`relative_drop`), s_i > g * reference (`ratio`), s_i > reference / g
    (`literal`). A score of 0 ends the list: against a reference of 0 nothing could. Raises ConfigError for a `g`
    outside (0, 1), which `literal` alone accepts above 1, and for bounds below 1 or crossed.
    """

    g: float = 0.3
    min_k: int = 2
    max_k: int | None = None
    rule: Rule = "relative_drop"
    compare_to: Reference = "predecessor"
    floor: Floor = "floor_after_scan"

    name: ClassVar[str] = "drop"
    signed: ClassVar[bool] = False
    invariances: ClassVar[frozenset[Invariance]] = frozenset({Invariance.SCALE})

    def __post_init__(self) -> None:
        if not 0 < self.g < math.inf or (self.rule != "literal" and self.g >= 1):
            wanted = "above 0 and finite" if self.rule == "literal" else "between 0 and 1, both excluded"
            raise ConfigError(f"g is {self.g} under the rule {self.rule!r}; expected {wanted}.", hint="Correct g.")
        check_bounds(self.min_k, self.max_k)

    def decide(self, scores: Scores) -> Cut:
        """Return the cut of `scores`; see the class."""
        first = self.min_k if self.floor == "scan_after_floor" else 1
        found = self._scan(scores.tolist(), first)
        return capped(floored(found, self.min_k, len(scores)), self.max_k)

    def _scan(self, scores: list[float], first: int) -> Cut:
        """Return the first failing place from `first` on."""
        for place in range(first, len(scores)):
            score = scores[place]
            reference = scores[first - 1 if self.compare_to == "anchor" else place - 1]
            if score == 0:
                return Cut(place, f"score {place + 1} is 0")
            if not self._keeps(score, reference):
                return Cut(place, f"score {place + 1}, {score:.4g}, {self._failed(reference)}")
        return Cut(len(scores), f"no score fails the rule {self.rule} with g = {self.g:g}")

    def _keeps(self, score: float, reference: float) -> bool:
        match self.rule:
            case "relative_drop":
                return score >= (1 - self.g) * reference
            case "ratio":
                return score > self.g * reference
            case "literal":
                return score > reference / self.g

    def _failed(self, reference: float) -> str:
        match self.rule:
            case "relative_drop":
                return f"is below {1 - self.g:.4g} of {reference:.4g} ({self.compare_to})"
            case "ratio":
                return f"is not above {self.g:.4g} of {reference:.4g} ({self.compare_to})"
            case "literal":
                return f"is not above {reference:.4g} / {self.g:.4g} ({self.compare_to})"


PAPER = Drop(g=0.3, min_k=7, floor="scan_after_floor")
"""SAGE's published settings, under the reading of the rule that can act at all."""
