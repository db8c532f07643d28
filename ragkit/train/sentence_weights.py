"""Weights for the views of `FusedSentences`, learnt over several data sets, each tested on the set left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]  # it ships no types

from ragkit.errors import UsageError
from ragkit.selectors.extractive_fusion import FusedSentences
from ragkit.train.asked import Asked
from ragkit.train.ranking import Ranking, paired, ranking

Views = NDArray[np.float64]
"""The views of all sentences of one question, shape (sentences, views), in standard deviations."""
READ = 20
PENALTY = 1e-3


def learnt(asked: Mapping[str, Sequence[Asked]], fusion: FusedSentences) -> dict[str, Any]:
    """Return the weights, learnt from all sets, and for each set what those learnt from the others gain on it.

    Every set counts the same, whatever its number of questions. Raises UsageError for fewer than two sets: nothing
    would show that the weights hold elsewhere.
    """
    if len(asked) < 2:
        raise UsageError(f"{len(asked)} data set was given; expected two or more.", hint="Give more data sets.")
    views = {
        name: [fusion.views(one.query.question, one.hits[:READ], one.sentences[:READ]).T for one in own]
        for name, own in asked.items()
    }
    labels = {name: [_labels(one) for one in own] for name, own in asked.items()}
    gains = {}
    for name, own in asked.items():
        others = [other for other in asked if other != name]
        weights = fitted([(views[other], labels[other]) for other in others])
        equal = np.full(len(weights), 1.0 / len(weights))
        gains[name] = _ranked(own, views[name], weights).recall - _ranked(own, views[name], equal).recall
    weights = fitted([(views[name], labels[name]) for name in asked])
    return {
        "weights": [round(float(weight), 3) for weight in weights],
        "learnt_from": {name: len(own) for name, own in asked.items()},
        "left_out": {name: paired(gain, np.zeros(len(gain))) for name, gain in gains.items()},
    }


def fitted(sets: Sequence[tuple[Sequence[Views], Sequence[NDArray[np.int64]]]]) -> NDArray[np.float64]:
    """Return the weights that minimise the listwise cross-entropy, the mean over sets of the mean over questions."""
    groups: list[tuple[Views, Views, float]] = []
    for views, labels in sets:
        usable = [
            (one[marks == 1], one[marks == 0])
            for one, marks in zip(views, labels, strict=True)
            if (marks == 1).any() and (marks == 0).any()
        ]
        groups += [(with_evidence, without, 1.0 / len(usable) / len(sets)) for with_evidence, without in usable]
    if not groups:
        raise UsageError("No question has evidence among its hits.", hint="Give data sets with evidence.")
    width = groups[0][0].shape[1]
    found = minimize(_loss, np.zeros(width), args=(groups,), jac=True, method="L-BFGS-B")
    return np.asarray(found.x, np.float64)


def _loss(
    weights: NDArray[np.float64], groups: Sequence[tuple[Views, Views, float]]
) -> tuple[float, NDArray[np.float64]]:
    """Return the loss and its gradient."""
    total, slope = PENALTY * float(weights @ weights), 2 * PENALTY * weights
    for with_evidence, without, share in groups:
        scores = without @ weights
        top = float(scores.max())
        chances = np.exp(scores - top)
        rest = top + float(np.log(chances.sum()))
        mean = chances @ without / chances.sum()
        own = with_evidence @ weights
        both = np.logaddexp(own, rest)
        total += share * float((both - own).mean())
        slope = slope + share * (np.exp(rest - both)[:, None] * (mean - with_evidence)).mean(axis=0)
    return total, slope


def _labels(one: Asked) -> NDArray[np.int64]:
    """Return 1 with evidence, 0 without, -1 for neither."""
    marks = [label for own in one.labels[:READ] for label in own]
    return np.array([-1 if label is None else int(label) for label in marks], np.int64)


def _ranked(asked: Sequence[Asked], views: Sequence[Views], weights: NDArray[np.float64]) -> Ranking:
    waiting = iter(views)
    return ranking(asked, lambda _question, _hits, _sentences: [next(waiting) @ weights], k=READ)
