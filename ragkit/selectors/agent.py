"""Settings of a selector from the question: nearest neighbours over questions whose best settings are known.

CORAG / CARROT (arXiv 2411.00744) predicts the settings of its search from the question's embedding. The table that is
asked here holds, for each known question, what each of the settings was worth (`ragkit train corag-agent`). Two rules:

- "utility": the settings with the highest mean utility over the neighbours, who are outvoted by `prior` imaginary
  questions at which every setting is worth its mean over all known questions; an infinite prior is the best single
  setting.
- "vote": each neighbour votes for its best settings; the selector with most votes wins, with the median (numbers) or
  most frequent value of each option among those who voted for it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ConfigError

Floats = NDArray[np.float64]
Rule = Literal["utility", "vote"]

TIE = 0.01
"""Settings worth at most so much less than a question's best are as good: what separates them is noise."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A selector by name with its options."""

    name: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        """Return it in one line.

        >>> str(Setting("top_k", {"k": 3}))
        'top_k(k=3)'
        """
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in self.options.items())})"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A known question that was asked: its cosine, its own best setting, what the chosen and the default were worth.

    `chosen` and `default` are None where no known question has tried those settings.
    """

    question: str
    cosine: float
    best: str
    chosen: float | None
    default: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen setting, why, and who was asked, nearest first; `fallback` where the question is unlike all known."""

    setting: Setting
    reason: str
    fallback: bool
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What settings are worth: `utilities[i, j]` that of setting j for question i, whose vector is `features[i]`.

    Vectors have unit length. Raises ConfigError where the shapes do not fit or a number is not finite.
    """

    settings: tuple[Setting, ...]
    questions: tuple[str, ...]
    features: Floats
    utilities: Floats

    def __post_init__(self) -> None:
        wanted = (len(self.questions), len(self.settings))
        sound = self.utilities.shape == wanted and self.features.ndim == 2 and len(self.features) == wanted[0]
        finite = bool(np.isfinite(self.utilities).all() and np.isfinite(self.features).all())
        if not sound or not finite or 0 in wanted:
            raise ConfigError(
                f"A table of {wanted[0]} questions and {wanted[1]} settings came with features of shape "
                f"{self.features.shape} and utilities of shape {self.utilities.shape}"
                f"{'' if finite else ', some of them not finite'}; expected one row a question, one column a setting.",
                hint="Make it with: ragkit train corag-agent.",
            )

    def single(self) -> int:
        """Return the setting with the highest mean over all questions, the first of equals."""
        return int(np.argmax(self.utilities.mean(axis=0)))

    def best(self) -> NDArray[np.int64]:
        """Return each question's best setting: of those within `TIE` of the best, the one that is best on average."""
        tied = self.utilities >= self.utilities.max(axis=1, keepdims=True) - TIE
        return np.asarray(np.argmax(np.where(tied, self.utilities.mean(axis=0), -np.inf), axis=1), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Agent:
    """The predictor: a table, how many `neighbours` are asked by which rule, and when a question is too unlike them.

    A question whose nearest known one has a cosine below `least_cosine` gets the `default`.
    """

    table: Table
    default: Setting
    neighbours: int = 10
    prior: float = 10.0
    rule: Rule = "utility"
    least_cosine: float = -1.0

    def __post_init__(self) -> None:
        if self.neighbours < 1 or not self.prior >= 0 or not -1 <= self.least_cosine <= 1:
            raise ConfigError(
                f"An agent was given {self.neighbours} neighbours, a prior of {self.prior} and a least cosine of "
                f"{self.least_cosine}; expected 1 or more, 0 or more, and -1 to 1.",
                hint="Make it with: ragkit train corag-agent.",
            )

    def choose(self, feature: Sequence[float] | NDArray[np.floating[Any]]) -> Choice:
        """Return the setting for a question with this vector of unit length.

        Raises ConfigError for a vector of another dimension.
        """
        table, vector = self.table, np.asarray(feature, np.float64)
        known = table.features.shape[1:]
        if vector.shape != known:
            raise ConfigError(
                f"The question's vector has shape {vector.shape}; the agent knows vectors of shape {known}.",
                hint="Use the embedder that the agent was trained with.",
            )
        cosines = table.features @ vector
        asked = np.argsort(-cosines, kind="stable")[: self.neighbours]
        nearest = float(cosines[asked[0]])
        if nearest < self.least_cosine:
            reason = f"its nearest known question has a cosine of {nearest:.2f}, below {self.least_cosine:.2f}"
            return Choice(self.default, f"default: {reason}", True, self._asked(asked, cosines, self.default))
        if self.rule == "vote":
            setting, reason = _voted([table.settings[place] for place in table.best()[asked]])
        else:
            place, reason = chosen(table, asked, self.prior)
            setting = table.settings[place]
        return Choice(setting, reason, False, self._asked(asked, cosines, setting))

    def _asked(self, places: NDArray[np.int64], cosines: Floats, setting: Setting) -> tuple[Neighbour, ...]:
        table, best = self.table, self.table.best()
        column, default = (_place(table.settings, one) for one in (setting, self.default))
        worth = table.utilities
        return tuple(
            Neighbour(
                table.questions[place],
                float(cosines[place]),
                str(table.settings[int(best[place])]),
                None if column is None else float(worth[place, column]),
                None if default is None else float(worth[place, default]),
            )
            for place in places.tolist()
        )


def chosen(table: Table, asked: NDArray[np.int64], prior: float) -> tuple[int, str]:
    """Return the setting of highest mean utility over the questions `asked` and `prior` average ones, and why.

    The first of equals wins, an infinite prior leaves the neighbours unheard.
    """
    average = table.utilities.mean(axis=0)
    if math.isinf(prior):
        return int(np.argmax(average)), "best over all known questions: asking neighbours did not help in training"
    means = (table.utilities[asked].sum(axis=0) + prior * average) / (len(asked) + prior)
    place = int(np.argmax(means))
    single = table.single()
    gain = f"{means[place] - means[single]:+.3f} against {table.settings[single]}"
    return place, f"worth {means[place]:.3f} over {len(asked)} neighbours and a prior of {prior:g}, {gain}"


def _voted(ballots: Sequence[Setting]) -> tuple[Setting, str]:
    """Return what the vote comes to: of the winner's ballots the one nearest to the medians, never what none has tried.

    Medians, option by option, may combine what was not measured together; the ballot that shares most
    options with them is taken, that of the nearest question among equals.
    """
    counts = Counter(ballot.name for ballot in ballots)
    name = max(counts, key=lambda one: counts[one])  # the first of equals: the nearest question's
    winners = [ballot for ballot in ballots if ballot.name == name]
    keys = dict.fromkeys(key for ballot in winners for key in ballot.options)
    middle = {key: _middle([ballot.options[key] for ballot in winners if key in ballot.options]) for key in keys}
    nearest = max(winners, key=lambda one: sum(one.options.get(key) == value for key, value in middle.items()))
    return nearest, f"{counts[name]} of {len(ballots)} neighbours voted for {name}"


def _middle(values: Sequence[Any]) -> Any:
    """Return the lower median of numbers, the most frequent of anything else, the first of equals."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return median_low(values)
    return max(values, key=lambda one: sum(one == other for other in values))


def _place(settings: Sequence[Setting], setting: Setting) -> int | None:
    return settings.index(setting) if setting in settings else None
