"""Which candidates are worth a costly score: pruning by the first stage, and an early exit (arXiv 2601.05200).

Candidates stand in the order of the first stage. Pruning leaves out those far below its k-th score. The early exit
scores on until `patience` candidates in a row do not enter the best k; what would have entered later is missed. How
much that is can only be known by scoring everything, which `audit` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappush, heapreplace
from typing import Any

import numpy as np

from ragkit.errors import ConfigError
from ragkit.scoring.cut import cut
from ragkit.scoring.order import Scores
from ragkit.scoring.share import Share

ScoreSome = Callable[[Sequence[int]], Scores]
"""Scores the candidates at those places."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """How much is scored: candidates within `alpha` of the first stage's k-th score, until `patience` in a row fail.

    None switches each off. Raises ConfigError for a `k` or `patience` below 1.
    """

    k: int = 5
    alpha: float | None = None
    patience: int | None = None
    audit: bool = False

    def __post_init__(self) -> None:
        for option, value in (("k", self.k), ("patience", self.patience)):
            if value is not None and value < 1:
                raise ConfigError(f"{option} of the pruning is {value}; expected at least 1.", hint="Correct it.")
        if self.alpha is not None:
            Share(self.k, self.alpha)


@dataclass(frozen=True, slots=True)
class Pruned:
    """The scores of the candidates; NaN where none was computed. `missed` is the share of the true best k among those.

    `missed` is None without an audit. `reasons` says for each place that has no score why.
    """

    scores: Scores
    reasons: dict[int, str]
    missed: float | None

    def trace(self) -> dict[str, Any]:
        """Return what a trace says of it."""
        return {"scored": len(self.scores) - len(self.reasons), "left_out": len(self.reasons), "missed": self.missed}


def score_candidates(first_stage: Scores, pruning: Pruning, score: ScoreSome) -> Pruned:
    """Return the scores of the candidates worth one; `first_stage` is descending, `score` is called in bulk.

    Fewer than k candidates are all scored. Each call asks for no more than the rule is sure to need, so the result is
    that of scoring one after the other. Pruning compares ratios: a first-stage score below 0, such as a cosine, counts
    as 0.
    """
    count = len(first_stage)
    worth = count if pruning.alpha is None else cut(np.maximum(first_stage, 0.0), Share(pruning.k, pruning.alpha))
    why = f"pruned: below {1 - (pruning.alpha or 0):g} of score {pruning.k} of the first stage"
    reasons = dict.fromkeys(range(worth, count), why)
    scores = np.full(count, np.nan)
    done = _until_exit(scores, worth, pruning, score)
    why = f"early exit: the {pruning.patience} before it did not enter the best {pruning.k}"
    reasons |= dict.fromkeys(range(done, worth), why)
    if not pruning.audit:
        return Pruned(scores, reasons, None)
    left = sorted(reasons)
    full = scores.copy()
    if left:
        full[left] = score(left)
    best = np.lexsort((np.arange(count), -full))[: pruning.k]
    return Pruned(scores, reasons, sum(int(place) in reasons for place in best) / max(1, len(best)))


def _until_exit(scores: Scores, worth: int, pruning: Pruning, score: ScoreSome) -> int:
    """Fill `scores` in order and return how many were scored."""
    if pruning.patience is None:
        scores[:worth] = score(range(worth)) if worth else ()
        return worth
    best: list[float] = []
    done = failed = 0
    while done < worth and failed < pruning.patience:
        block = range(done, min(worth, done + (pruning.k - len(best) or pruning.patience - failed)))
        scores[block.start : block.stop] = score(block)
        for value in scores[block.start : block.stop].tolist():
            if len(best) < pruning.k:
                heappush(best, value)
            elif value > best[0]:
                heapreplace(best, value)
                failed = 0
            else:
                failed += 1
        done = block.stop
    return done
