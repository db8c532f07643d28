"""A trained agent on questions it has not seen, against the best single setting and the oracle of each question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.eval.statistics import Comparison, compare, mean_interval
from ragkit.eval.statistics.bootstrap import RESAMPLES
from ragkit.selectors.agent import Agent
from ragkit.train.setting_utilities import Worth

AGENT, SINGLE, HINDSIGHT, ORACLE = "agent", "best single setting", "best single setting in hindsight", "oracle"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to choose settings: mean utility with its 95 % interval over questions, mean quality, mean tokens."""

    name: str
    setting: str
    utility: tuple[float, float, float]
    quality: float
    tokens: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The rows, the agent's difference to the best single setting of its training, and how often it was not asked."""

    questions: int
    documents: int
    rows: tuple[Row, ...]
    comparison: Comparison
    fallbacks: int
    by_set: Mapping[str, float]
    used: Mapping[str, int]

    @property
    def wins(self) -> bool:
        """Whether the agent is shown to be better than the best single setting."""
        return self.comparison.winner == "a"

    @property
    def gap_closed(self) -> float | None:
        """Share of the way from the best single setting to the oracle; None where there is nothing to gain."""
        means = {row.name: row.utility[0] for row in self.rows}
        gap = means[ORACLE] - means[SINGLE]
        return (means[AGENT] - means[SINGLE]) / gap if gap > 0 else None

    def verdict(self) -> str:
        """Return in one sentence whether the agent is worth using."""
        found = self.comparison
        interval = found.interval if found.clustered is None else found.clustered
        wide = (min(found.interval.low, interval.low), max(found.interval.high, interval.high))
        against = f"{found.difference:+.4f} in utility (95 %: {wide[0]:+.4f} to {wide[1]:+.4f})"
        single = next(row.setting for row in self.rows if row.name == SINGLE)
        if self.wins:
            return f"The agent beats the best single setting, {single}: {against}."
        if found.winner == "b":
            return f"The agent is WORSE than the best single setting: {against}. Use {single} instead."
        return f"The agent is NOT shown to beat the best single setting: {against}. Prefer {single}: it is simpler."

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON's types."""
        found = self.comparison
        over = None if found.clustered is None else [found.clustered.low, found.clustered.high]
        return {
            "questions": self.questions,
            "documents": self.documents,
            "rows": [
                {"name": row.name, "setting": row.setting, "utility": list(row.utility), "quality": row.quality,
                 "tokens": row.tokens}
                for row in self.rows
            ],
            "difference": found.difference,
            "over_questions": [found.interval.low, found.interval.high],
            "over_documents": over,
            "p_value": found.p_value,
            "wins": self.wins,
            "gap_closed": self.gap_closed,
            "fallbacks": self.fallbacks,
            "by_set": dict(self.by_set),
            "used": dict(self.used),
            "verdict": self.verdict(),
        }  # fmt: skip


def held_out(agent: Agent, vote: Agent, parts: Mapping[str, Worth], seed: int = 0) -> HeldOut:
    """Return how `agent` does on the questions of `parts`, by set; `vote` is the same table under the published rule.

    The single setting was the best on the training questions; the one in hindsight is the best on these, which nobody
    could have known; the oracle takes each question's best.
    """
    settings, table = agent.table.settings, agent.table
    features, utility, quality, tokens = (
        np.concatenate([getattr(one, name) for one in parts.values()])
        for name in ("features", "utility", "quality", "tokens")
    )
    documents = [name for one in parts.values() for name in one.documents]
    names = [name for name, one in parts.items() for _ in one.queries]
    choices = [agent.choose(feature) for feature in features]
    count = len(utility)
    everywhere = np.full(count, 1)
    single, hindsight = table.single(), int(np.argmax(utility.mean(axis=0)))
    picks: dict[str, tuple[str, NDArray[np.int64]]] = {
        AGENT: ("by question", np.array([settings.index(one.setting) for one in choices])),
        "vote of neighbours": ("by question", np.array([settings.index(vote.choose(one).setting) for one in features])),
        SINGLE: (str(settings[single]), single * everywhere),
        HINDSIGHT: (str(settings[hindsight]), hindsight * everywhere),
        ORACLE: ("by question", np.argmax(utility, axis=1)),
    }
    at = np.arange(count)
    rows = []
    for name, (setting, places) in picks.items():
        found = mean_interval(utility[at, places], resamples=RESAMPLES, seed=seed)
        rows.append(
            Row(name, setting, (found.estimate, found.low, found.high), float(quality[at, places].mean()),
                float(tokens[at, places].mean()))
        )  # fmt: skip
    difference = utility[at, picks[AGENT][1]] - utility[:, single]
    used: dict[str, int] = {}
    for one in choices:
        used[str(one.setting)] = used.get(str(one.setting), 0) + 1
    return HeldOut(
        count,
        len(set(documents)),
        tuple(rows),
        compare(utility[at, picks[AGENT][1]], utility[:, single], documents, names=(AGENT, SINGLE), seed=seed),
        sum(one.fallback for one in choices),
        {name: float(difference[[other == name for other in names]].mean()) for name in parts},
        dict(sorted(used.items(), key=lambda item: -item[1])),
    )
