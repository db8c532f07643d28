"""Greedy choice by gain, once per chunk and once per token, then exchanges: a baseline, and where a search starts.

The better of the two greedy orders is what Leskovec et al. (KDD 2007) prove a bound for on submodular values; ours need
not be submodular.
"""

from __future__ import annotations

import numpy as np

from ragkit.selectors.combining import Best, Problem, Stop

_PASSES = 3
"""Most rounds of exchanges; each costs a call per chosen chunk."""


def search_greedy(problem: Problem, best: Best, stop: Stop) -> str:
    """Offer to `best` both greedy sequences and what single exchanges make of the better one."""
    for per_token in (False, True):
        reason = _greedy(problem, best, stop, per_token=per_token)
        if reason is not None:
            return reason
    return improved(problem, best, stop)


def improved(problem: Problem, best: Best, stop: Stop) -> str:
    """Offer to `best` what exchanges of single chunks make of it, until none helps; return what ended them."""
    for _ in range(_PASSES):
        before = best.value
        reason = _exchange(problem, best, stop)
        if reason is not None:
            return reason
        if best.value <= before:
            break
    return "no exchange helps"


def _greedy(problem: Problem, best: Best, stop: Stop, *, per_token: bool) -> str | None:
    """Append the chunk of the largest gain while there is one; return why it ended early, if it did."""
    sequence: tuple[int, ...] = ()
    state, value = problem.value.start(), 0.0
    while len(items := problem.feasible(sequence)):
        reason = stop() if sequence else None
        if reason is not None:
            return reason
        values = problem.value.extended(state, items)
        best.offer(sequence, items, values, problem.costs_with(sequence, items))
        gains = values - value
        # the first is the best alone even where all lower the value, and one that costs nothing is not divided by 0
        place = int(np.argmax(gains / np.maximum(problem.costs[items], 1) if per_token else gains))
        if sequence and gains[place] <= 0:
            return None
        sequence, value = (*sequence, int(items[place])), float(values[place])
        state = problem.value.pushed(state, sequence[-1])
    return None


def _exchange(problem: Problem, best: Best, stop: Stop) -> str | None:
    """Try the best sequence without each of its chunks, and with any other in its place."""
    for item in best.sequence:
        rest = tuple(other for other in best.sequence if other != item)
        if rest == best.sequence or not rest:
            continue
        reason = stop()
        if reason is not None:
            return reason
        items = problem.feasible(rest)
        values = problem.value.extended(problem.state(rest), items)
        best.offer(rest, items, values, problem.costs_with(rest, items))
        last = np.array([rest[-1]])
        shorter = rest[:-1]
        without = problem.value.extended(problem.state(shorter), last)
        best.offer(shorter, last, without, problem.costs_with(shorter, last))
    return None
