"""Boundary similarity B (Fournier 2013, section 4), for one type of boundary.

The edits that turn one segmentation into the other: an addition for a boundary that only one has, a transposition for
one that is off by at most n - 1 positions and costs its distance / n instead of 1. Then
B = 1 - (additions + cost of transpositions) / (additions + transpositions + matches).
"""

from __future__ import annotations

from ragkit.eval.metrics.measure import Option, declare


def transpositions(gold: frozenset[int], predicted: frozenset[int], n_t: int) -> list[int]:
    """Return the distances of the transpositions: boundaries that only one side has, paired, the nearest first.

    Each takes part in one pair; among equals the leftmost pair comes first.
    """
    open_gold, open_predicted = gold - predicted, predicted - gold
    left, right = set(open_gold), set(open_predicted)
    found = []
    for distance in range(1, n_t):
        for position in sorted(open_gold | open_predicted):
            other = position + distance
            for mine, theirs in ((left, right), (right, left)):
                if position in mine and other in theirs:
                    mine.discard(position)
                    theirs.discard(other)
                    found.append(distance)
    return found


def _score(gold: frozenset[int], predicted: frozenset[int], n: int, n_t: int) -> float:  # noqa: ARG001 - one signature
    moved = transpositions(gold, predicted, n_t)
    added = len(gold ^ predicted) - 2 * len(moved)
    every = added + len(moved) + len(gold & predicted)
    return 1 - (added + sum(moved) / n_t) / every if every else 1.0


BoundarySimilarity = declare(
    "BoundarySimilarity",
    "segmentation",
    _score,
    "1 - edits that turn the prediction into gold, near misses weighted, / boundaries concerned",
    n_t=Option(2, low=1),
)
