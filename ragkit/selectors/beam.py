"""Beam search over sequences of chunks: the best `width` of each length are carried on. All of them: exhaustive."""

from __future__ import annotations

from ragkit.selectors.combining import Best, Problem, Stop


def search_beam(problem: Problem, width: int | None, best: Best, stop: Stop) -> str:
    """Offer to `best` what a beam of `width` (None: every sequence, for oracles) finds; return what ended the search.

    Sets are carried on once where order means nothing. `stop` is asked before each sequence is extended, but the first.
    """
    beam: list[tuple[int, ...]] = [()]
    while beam:
        grown: dict[tuple[int, ...], tuple[float, tuple[int, ...]]] = {}
        for sequence in beam:
            reason = stop() if sequence else None
            if reason is not None:
                return reason
            items = problem.feasible(sequence)
            if not len(items):
                continue
            values = problem.value.extended(problem.state(sequence), items)
            best.offer(sequence, items, values, problem.costs_with(sequence, items))
            for item, value in zip(items.tolist(), values.tolist(), strict=True):
                longer = (*sequence, item)
                grown.setdefault(longer if problem.value.ordered else tuple(sorted(longer)), (value, longer))
        ranked = sorted(grown.values(), key=lambda one: (-one[0], [problem.ids[item] for item in one[1]]))
        beam = [sequence for _, sequence in ranked[:width]]
    return "all searched"
