"""Successive halving: all candidates answer a few questions, the better ones twice as many, until few are left.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016, with
an early stop: a candidate falls as soon as the interval of its difference to the leader lies below 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ragkit.eval.statistics import mean_interval

FIRST = 20
"""Questions of the first round, where there are as many."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round: how many questions, the means of those that answered them (best first), who fell and why."""

    questions: int
    means: dict[str, float]
    fell: dict[str, str] = field(default_factory=dict)


def halve(
    names: Sequence[str],
    values: Callable[[str, int], Sequence[float]],
    total: int,
    *,
    first: int = FIRST,
    resamples: int = 1000,
    seed: int = 0,
    spent: Callable[[], bool] = lambda: False,
) -> list[Round]:
    """Return the rounds; the first name of the last round's means is the best candidate.

    `values(name, n)` scores a candidate on the first `n` of `total` questions. `spent` is asked before every candidate:
    once it says True no more work begins, and candidates that were not scored in the first round fall as not tried.
    """
    alive = list(names)
    rounds: list[Round] = []
    count = min(total, first)
    while True:
        scores: dict[str, Sequence[float]] = {}
        for name in alive:
            if scores and spent():
                break
            scores[name] = values(name, count)
        if rounds and len(scores) < len(alive):
            return rounds
        ranked = sorted(scores, key=lambda name: -float(np.mean(scores[name])))
        fell = {name: "not tried: the time was spent" for name in alive if name not in scores}
        fell.update(_fallen(ranked, scores, resamples, seed))
        rounds.append(Round(count, {name: float(np.mean(scores[name])) for name in ranked}, fell))
        alive = [name for name in ranked if name not in fell]
        if count == total or len(alive) == 1 or spent():
            return rounds
        count = min(total, 2 * count)


def _fallen(ranked: list[str], scores: dict[str, Sequence[float]], resamples: int, seed: int) -> dict[str, str]:
    """Return who goes no further: who is shown to be worse than the leader, and who is not in the better half."""
    leader, others = ranked[0], ranked[1:]
    fell: dict[str, str] = {}
    for name in others:
        difference = np.asarray(scores[leader], np.float64) - np.asarray(scores[name], np.float64)
        interval = mean_interval(difference, resamples=resamples, seed=seed)
        if interval.low > 0:
            fell[name] = f"worse than {leader} by {interval.low:.3f} to {interval.high:.3f}"
    for name in ranked[(len(ranked) + 1) // 2 :]:
        fell.setdefault(name, "not among the better half")
    return fell
