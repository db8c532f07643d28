"""CORAG's configuration agent: how many neighbours are asked, and how much they are believed, found without peeking.

arXiv 2411.00744 trains a Siamese network to name one of 6 rerankers and 3 numbers; what is built here is a table of
nearest neighbours. Its own two settings are those with the highest utility in training when every question is answered
by the questions of other documents only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import UsageError
from ragkit.selectors.agent import Agent, Floats, Rule, Table

NEIGHBOURS = (5, 10, 20, 40)
PRIORS = (0.0, 5.0, 20.0, 80.0, math.inf)
"""What is tried; the last prior is the best single setting, so that training can find that neighbours do not help."""
VOTERS = 10
"""Neighbours of the rule "vote", as the specification has it."""
OUTSIDE = 0.05
"""Share of the known questions that would themselves be thought too unlike all others."""
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Fitted:
    """The agent, and its mean utility on the training questions as others answer them, beside the best single one's."""

    agent: Agent
    estimate: float
    single_estimate: float


def fit(table: Table, documents: Sequence[str], *, rule: Rule = "utility", outside: float = OUTSIDE) -> Fitted:
    """Return the agent for `table`; `documents` names the document of each of its questions.

    A question's neighbours, and the average over all, are taken from other documents; where all questions share one
    document, from other questions. Raises UsageError for fewer than 20 questions.
    """
    count = len(table.questions)
    if count < FEWEST:
        raise UsageError(
            f"There are {count} questions to learn from; at least {FEWEST} are needed.", hint="Give more data."
        )
    groups = np.unique(np.asarray(documents), return_inverse=True)[1]
    if groups.max() == 0:
        groups = np.arange(count)
    cosines = table.features @ table.features.T
    cosines[groups[:, None] == groups[None, :]] = -np.inf
    order = np.argsort(-cosines, axis=1, kind="stable")
    least = float(np.clip(np.quantile(cosines.max(axis=1), outside), -1, 1)) if outside else -1.0
    averages = _averages_elsewhere(table.utilities, groups)
    single = _mean(table.utilities, np.argmax(averages, axis=1))
    if rule == "vote":
        return Fitted(Agent(table, table.settings[table.single()], VOTERS, 0.0, "vote", least), math.nan, single)
    fewest = int((np.isfinite(cosines)).sum(axis=1).min())
    tried = {
        (prior, neighbours): _mean(table.utilities, _answers(table.utilities, order[:, :neighbours], averages, prior))
        for prior in PRIORS
        for neighbours in NEIGHBOURS
        if neighbours <= max(fewest, min(NEIGHBOURS))
    }
    # of equals the one that believes its neighbours least
    prior, neighbours = max(tried, key=lambda pair: (round(tried[pair], 9), pair))
    agent = Agent(table, table.settings[table.single()], neighbours, prior, "utility", least)
    return Fitted(agent, tried[prior, neighbours], single)


def _averages_elsewhere(utilities: Floats, groups: NDArray[np.int64]) -> Floats:
    """Return for each question the mean utility of every setting over the questions of other groups."""
    totals = np.zeros((int(groups.max()) + 1, utilities.shape[1]))
    np.add.at(totals, groups, utilities)
    sizes = np.bincount(groups)[:, None]
    elsewhere = (utilities.sum(axis=0) - totals) / (len(utilities) - sizes)
    return np.asarray(elsewhere[groups])


def _answers(utilities: Floats, asked: NDArray[np.int64], averages: Floats, prior: float) -> NDArray[np.int64]:
    """Return the setting that the neighbours `asked` choose for each question."""
    if math.isinf(prior):
        return np.asarray(np.argmax(averages, axis=1), np.int64)
    summed = utilities[asked].sum(axis=1) + prior * averages
    return np.asarray(np.argmax(summed, axis=1), np.int64)


def _mean(utilities: Floats, choices: NDArray[np.int64]) -> float:
    return float(utilities[np.arange(len(utilities)), choices].mean())
