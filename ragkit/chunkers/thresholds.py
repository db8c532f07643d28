"""How deep a minimum must be to end a chunk: fixed thresholds, running minima, thresholds that reach a length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.chunkers.minima import Minima, Scores
from ragkit.errors import ConfigError

Domain = Literal["nll", "ppl"]
"""What scores and thresholds are: nats a token, or perplexities (their exponentials)."""

REMEMBERED = 100
"""Accepted minima before a running minimum begins to refuse any."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A saved threshold; it means nothing in the other domain, and where it is used there ConfigError is raised."""

    value: float
    domain: Domain = "nll"

    def in_domain(self, domain: Domain) -> float:
        """Return the value; raise ConfigError if scores are in another domain."""
        check_domain("theta", self.domain, domain)
        return self.value


@dataclass(slots=True)
class RunningMinimum:
    """A threshold that starts at 0 and becomes the smallest depth of all accepted minima once there are 100.

    It remembers across documents, as the published code does: with one object for a corpus the chunks depend on the
    order of the documents. So the caller owns it; a chunker that is given none makes one for each document.
    """

    domain: Domain = "nll"
    theta: float = 0.0
    accepted: int = 0
    _smallest: float = field(default=np.inf, repr=False)

    def accept(self, minima: Minima) -> NDArray[np.int64]:
        """Return which of `minima` become boundaries, and remember them."""
        kept = []
        for index, strength, depth in zip(
            minima.at.tolist(), minima.strength.tolist(), minima.depth.tolist(), strict=True
        ):
            if strength >= self.theta:
                kept.append(index)
                self.accepted += 1
                self._smallest = min(self._smallest, depth)
                if self.accepted >= REMEMBERED:
                    self.theta = self._smallest
        return np.array(kept, np.int64)


def above(minima: Minima, theta: float) -> NDArray[np.int64]:
    """Return the minima whose strength is at least `theta`."""
    return minima.at[minima.strength >= theta]


def matched_theta(strengths: Scores, count_at: Callable[[float], int], length: float, target: float) -> float:
    """Return the threshold at which the mean chunk length comes nearest to `target`; no model is asked.

    `count_at(theta)` is the number of chunks, which falls as theta grows; `length` is that of everything together.
    Bisection over the strengths, the only places where anything changes.
    """
    candidates = np.append(np.unique(strengths), np.inf)
    tried: dict[int, float] = {}

    def mean(index: int) -> float:
        if index not in tried:
            tried[index] = length / max(count_at(float(candidates[index])), 1)
        return tried[index]

    low, high = 0, len(candidates) - 1
    while high - low > 1 and mean(low) < target:
        middle = (low + high) // 2
        low, high = (middle, high) if mean(middle) < target else (low, middle)
    best = min((high, low), key=lambda index: abs(mean(index) - target))
    return float(candidates[best])


def check_domain(what: str, given: Domain, used: Domain) -> None:
    """Raise ConfigError unless `given` is the domain that is used."""
    if given != used:
        raise ConfigError(
            f"{what} is in the domain {given!r}, but the scores are in {used!r}; the numbers mean different things.",
            hint=f"Set score_domain to {given!r}, or choose a threshold for {used!r}.",
        )
