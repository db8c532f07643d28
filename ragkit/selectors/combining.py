"""The task of choosing a set or sequence of candidates under a hard budget, and the best one found so far.

CORAG / CARROT (arXiv 2411.00744): the value of a set of chunks is not the sum of its members' values, and adding a
relevant chunk can lower it; cost belongs to the objective, so a budget need not be filled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ragkit.scoring.order import Scores

Items = NDArray[np.int64]
"""Numbers of candidates, shape (n,)."""


class SetValue(Protocol):
    """Values sequences of candidates; a state stands for one sequence, so that a longer one need not start afresh."""

    @property
    def name(self) -> str:
        """What a trace calls it."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether the order of a sequence changes its value."""
        ...

    @property
    def scored(self) -> int:
        """How many sequences have been valued so far; what is remembered does not count."""
        ...

    def start(self) -> Any:
        """Return the state of the empty sequence, whose value is 0."""
        ...

    def pushed(self, state: Any, item: int) -> Any:
        """Return the state of the sequence with `item` appended."""
        ...

    def extended(self, state: Any, items: Items) -> Scores:
        """Return the value of the sequence with each of `items` appended, all in one call."""
        ...


@dataclass(frozen=True, slots=True)
class Problem:
    """Candidates with their costs in tokens, and the most that a sequence may cost, `separator` between two included.

    `ids` break ties. A sequence longer than `window`, counted by `lengths`, is never valued: the scorer would not see
    its end. None: no such limit.
    """

    value: SetValue
    costs: Items
    budget: int
    ids: Sequence[str]
    separator: int = 0
    lengths: Items | None = None
    window: int | None = None
    pool: Items | None = None
    """The candidates that may be combined; None: all."""

    def among(self, pool: Items) -> Problem:
        """Return the same task over the candidates `pool` alone."""
        return replace(self, pool=pool)

    def everything(self) -> Items:
        """Return the candidates that may be combined."""
        return np.arange(len(self.costs)) if self.pool is None else self.pool

    def cost(self, sequence: Sequence[int]) -> int:
        """Return what `sequence` costs."""
        return int(self.costs[list(sequence)].sum()) + self.separator * max(0, len(sequence) - 1)

    def costs_with(self, sequence: Sequence[int], items: Items) -> Items:
        """Return what `sequence` costs with each of `items` appended."""
        return self.cost(sequence) + self.costs[items] + (self.separator if sequence else 0)

    def readable(self, sequence: Sequence[int], items: Items) -> NDArray[np.bool_]:
        """Return for each of `items` whether the scorer reads the sequence with it to the end."""
        if self.lengths is None or self.window is None:
            return np.ones(len(items), dtype=bool)
        return np.asarray(int(self.lengths[list(sequence)].sum()) + self.lengths[items] <= self.window)

    def feasible(self, sequence: Sequence[int], items: Items | None = None) -> Items:
        """Return those of `items` (None: all) that `sequence` lacks and that may be appended, in the order given."""
        items = self.everything() if items is None else items
        fits = (self.costs_with(sequence, items) <= self.budget) & self.readable(sequence, items)
        for used in sequence:
            fits &= items != used
        return items[fits]

    def state(self, sequence: Sequence[int]) -> Any:
        """Return the state of `sequence`."""
        state = self.value.start()
        for item in sequence:
            state = self.value.pushed(state, item)
        return state


@dataclass(slots=True)
class Best:
    """The best sequence so far: highest value, then lowest cost, then shortest, then first by chunk ids."""

    problem: Problem
    sequence: tuple[int, ...] = ()
    value: float = float("-inf")
    curve: list[tuple[float, int, float]] = field(default_factory=list)
    """(seconds, sequences valued, value) at each improvement."""
    clock: Callable[[], float] = time.perf_counter
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def offer(self, sequence: tuple[int, ...], items: Items, values: Scores, costs: Items) -> None:
        """Take the best of `sequence` with each of `items` appended, if it is better and within the budget."""
        values = np.where(costs <= self.problem.budget, values, -np.inf)
        if not len(values) or (highest := float(values.max())) < self.value or highest == float("-inf"):
            return
        least = int(costs[values == highest].min())
        for item in items[(values == highest) & (costs == least)].tolist():
            self._take((*sequence, item), highest)

    def _take(self, sequence: tuple[int, ...], value: float) -> None:
        improved = value > self.value
        if improved or self._key(sequence) < self._key(self.sequence):
            self.sequence, self.value = sequence, value
        if improved:
            self.curve.append((self.clock() - self.started, self.problem.value.scored, value))

    def _key(self, sequence: tuple[int, ...]) -> tuple[int, int, list[str]]:
        return self.problem.cost(sequence), len(sequence), [self.problem.ids[item] for item in sequence]


Stop = Callable[[], str | None]
"""Says why a search must end now, or None."""
