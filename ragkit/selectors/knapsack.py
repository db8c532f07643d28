"""Where the value of a set is the sum of its members', the task is a knapsack: solved exactly, without a search."""

from __future__ import annotations

import numpy as np

from ragkit.scoring.order import Scores
from ragkit.selectors.combining import Best, Items, Problem, Stop

_PROBED = 5
"""Chunks whose pairs are tried: ten values tell an additive scorer from another one."""
_TOLERANCE = 1e-6
"""Relative to the largest single value."""


def additive_optimum(problem: Problem, best: Best, stop: Stop) -> bool:
    """Return whether the value is additive on pairs of the best chunks; if so, offer the exact optimum to `best`.

    The optimum's own value is asked for and must be the sum too; otherwise it is offered as any sequence, and False
    returned. Needs two candidates that fit together; with fewer there is nothing to tell. `stop` is asked before each
    call but that for single chunks; where it says to end, False is returned.
    """
    items = problem.feasible(())
    if len(items) < 2:
        return False
    singles = problem.value.extended(problem.value.start(), items)
    best.offer((), items, singles, problem.costs_with((), items))
    scale = max(float(np.abs(singles).max()), 1e-12)
    if not _pairs_add_up(problem, items, singles, scale, stop):
        return False
    chosen = items[_knapsack(singles, problem.costs[items] + problem.separator, problem.budget + problem.separator)]
    if len(chosen) < 2:
        return True
    head, last = tuple(chosen[:-1].tolist()), chosen[-1:]
    if not problem.readable(head, last)[0] or stop() is not None:
        return False
    value = problem.value.extended(problem.state(head), last)
    best.offer(head, last, value, problem.costs_with(head, last))
    total = float(singles[np.isin(items, chosen)].sum())
    return abs(float(value[0]) - total) <= _TOLERANCE * scale * len(chosen)


def _pairs_add_up(problem: Problem, items: Items, singles: Scores, scale: float, stop: Stop) -> bool:
    probed = np.argsort(-singles, kind="stable")[:_PROBED]
    tried = False
    for at, one in enumerate(probed.tolist()):
        sequence = (int(items[one]),)
        others = np.array([other for other in probed[at + 1 :] if items[other] in problem.feasible(sequence)], int)
        if not len(others):
            continue
        if stop() is not None:
            return False
        tried = True
        pairs = problem.value.extended(problem.state(sequence), items[others])
        if (np.abs(pairs - singles[one] - singles[others]) > _TOLERANCE * scale).any():
            return False
    return tried


def _knapsack(values: Scores, costs: Items, budget: int) -> list[int]:
    """Return the places of the exact optimum, by dynamic programming over every cost up to the budget."""
    budget = min(budget, int(costs.sum()))
    table = np.zeros(budget + 1)
    taken = np.zeros((len(values), budget + 1), bool)
    for place, (value, cost) in enumerate(zip(values.tolist(), costs.tolist(), strict=True)):
        if value <= 0 or cost > budget:
            continue
        with_it = table[: budget + 1 - cost] + value
        better = with_it > table[cost:]
        taken[place, cost:] = better
        table[cost:] = np.where(better, with_it, table[cost:])
    chosen, left = [], budget
    for place in range(len(values) - 1, -1, -1):
        if taken[place, left]:
            chosen.append(place)
            left -= int(costs[place])
    return chosen[::-1]
