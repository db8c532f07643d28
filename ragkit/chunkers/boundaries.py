"""From sentence scores to chunks: which minima end one, what is joined, what is divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.chunkers.merging import divide, merge
from ragkit.chunkers.minima import Minima, Scores, SideRule, local_minima
from ragkit.chunkers.thresholds import Domain, RunningMinimum, above, matched_theta
from ragkit.chunkers.units import Units
from ragkit.errors import ConfigError

Policy = Literal["merge", "fixed", "running_minimum", "length_matched"]
Piece = tuple[int, int]
"""The units `[first, last)` of one chunk."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which minima become boundaries, and what becomes of the pieces; `PerplexityChunker` explains each.

    Raises ConfigError for values that do not fit together.
    """

    policy: Policy
    theta: float
    target: int
    side_rule: SideRule
    domain: Domain
    first_sentence_guard: bool
    plateau_guard: bool
    overlap: bool
    parity: bool

    def __post_init__(self) -> None:
        if not self.theta >= 0:
            raise ConfigError(f"theta is {self.theta}; expected 0 or more.", hint="Correct theta.")
        if self.theta and self.policy in ("running_minimum", "length_matched"):
            raise ConfigError(
                f"theta is {self.theta}, but the policy {self.policy!r} finds its own threshold.",
                hint="Leave theta out, or choose the policy 'merge' or 'fixed'.",
            )
        if self.parity and (self.side_rule, self.domain) != ("any", "nll"):
            raise ConfigError(
                f"parity means side_rule 'any' and score_domain 'nll'; given were {self.side_rule!r}, {self.domain!r}.",
                hint="Leave them out, or leave parity out.",
            )

    @property
    def merges(self) -> bool:
        """Whether neighbouring pieces are joined."""
        return self.policy == "merge"


def pieces(units: Units, scores: Scores, rules: Rules, running: RunningMinimum) -> list[Piece]:
    """Return the chunks of a document, in order, from the mean NLL of each of its units.

    A unit with NaN (without tokens) stays with the one before it; without parity, a first one gets the score of the
    second. `running` is asked where the policy is a running minimum.
    """
    known = ~np.isnan(scores)
    if not rules.parity and len(scores) > 1 and not known[0]:
        scores = np.append(scores[1], scores[1:])
        known = ~np.isnan(scores)
    elif len(scores):
        known[0] = True
    at = np.flatnonzero(known)
    values = np.exp(scores[at]) if rules.domain == "ppl" else scores[at]
    minima = local_minima(
        values,
        side_rule=rules.side_rule,
        first_sentence_guard=rules.first_sentence_guard,
        plateau_guard=rules.plateau_guard,
    )
    costs = _costs(values, at, len(units))
    edges = _edges(units, minima, at, costs, rules=rules, running=running)
    if rules.merges:
        edges = merge(edges, partial(_fits_target, units, rules))
    return _overlapping(units, edges) if rules.overlap else list(pairwise(edges))


def _edges(
    units: Units, minima: Minima, at: NDArray[np.int64], costs: Scores, *, rules: Rules, running: RunningMinimum
) -> list[int]:
    """Return where pieces begin: after each accepted minimum, and inside pieces that are too long for a chunk."""

    def cut(chosen: NDArray[np.int64]) -> list[int]:
        inner: list[int] = at[chosen + 1].tolist()
        return divide([0, *inner, len(units)], costs, units.fit_chunk, inset=2)

    if rules.policy == "running_minimum":
        return cut(running.accept(minima))
    theta = rules.theta
    if rules.policy == "length_matched":
        length = float(units.tokens[-1])
        theta = matched_theta(minima.strength, lambda tried: len(cut(above(minima, tried))) - 1, length, rules.target)
    return cut(above(minima, theta))


def _costs(values: Scores, at: NDArray[np.int64], count: int) -> Scores:
    """Return the cost of an edge before each unit: the score of the unit before it; infinite before one without."""
    costs = np.full(count, np.inf)
    costs[at[1:]] = np.nan_to_num(values[:-1], nan=np.inf)
    return costs


def _fits_target(units: Units, rules: Rules, first: int, last: int) -> bool:
    """Return whether a chunk of these units is within the target, with the sentence it shares where there is one."""
    shared = 1 if rules.overlap and first else 0
    return units.fit(first - shared, last, min(rules.target, units.view.size))


def _overlapping(units: Units, edges: Sequence[int]) -> list[Piece]:
    """Return the pieces, each begun one unit earlier where it then still fits."""
    return [
        (first - 1 if first and units.fit_chunk(first - 1, last) else first, last) for first, last in pairwise(edges)
    ]
