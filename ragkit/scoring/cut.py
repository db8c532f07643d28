"""Where to cut a list of descending scores: one function, and policies as frozen values.

A policy says of itself which changes of the scores leave its cut where it is (`invariances`), so that a user knows
which calibrations matter to it and which do not.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np

from ragkit.errors import ContractError
from ragkit.scoring.order import Scores, finite


class Invariance(StrEnum):
    """A change of all scores that leaves a policy's cut where it is."""

    SCALE = "scale"
    """Multiplying by a positive number."""
    SHIFT = "shift"
    """Adding a number."""
    MONOTONE = "monotone"
    """Any strictly increasing function: the policy looks at ranks alone."""


class Cut(NamedTuple):
    """How many of the best scores are kept, and what ended the list."""

    kept: int
    reason: str


class Policy(Protocol):
    """A rule that ends a list of descending scores."""

    @property
    def name(self) -> str:
        """The word a user types."""
        ...

    @property
    def invariances(self) -> frozenset[Invariance]:
        """The changes of the scores that leave the cut where it is."""
        ...

    @property
    def signed(self) -> bool:
        """Whether negative scores make sense to the rule; a rule of ratios refuses them."""
        ...

    def decide(self, scores: Scores) -> Cut:
        """Return the cut of `scores`, which are finite and descending; there is one at least."""
        ...


def cut(scores: Scores | list[float] | tuple[float, ...], policy: Policy) -> int:
    """Return how many of the descending `scores` the policy keeps.

    >>> from ragkit.scoring.drop import Drop
    >>> cut([0.95, 0.90, 0.86, 0.40, 0.38, 0.35], Drop(min_k=1, g=0.3))
    3
    """
    return explained(scores, policy).kept


def explained(scores: Scores | list[float] | tuple[float, ...], policy: Policy) -> Cut:
    """Return the cut with its reason.

    Raises ContractError for scores that are not finite, not descending, or negative where the policy compares ratios.
    """
    values = finite(scores, "scores to cut")
    if not len(values):
        return Cut(0, "there are no candidates")
    rises = np.flatnonzero(np.diff(values) > 0)
    if len(rises):
        place = int(rises[0])
        raise ContractError(
            f"The scores to cut rise from {values[place]:.6g} at place {place} to {values[place + 1]:.6g}; expected "
            "the best first.",
            hint="Sort them first, for instance by ragkit.scoring.order.descending.",
        )
    if not policy.signed and values[-1] < 0:
        raise ContractError(
            f"The policy {policy.name!r} compares ratios and the scores go down to {values[-1]:.6g}; expected none "
            "below 0.",
            hint="Calibrate them: sigmoid for logits, clamp for cosines, minmax or isotonic for others; or cut by "
            "the policy 'elbow', which reads differences.",
        )
    return policy.decide(values)
