"""W-F1: boundaries matched one to one within w units, so that a near miss is no miss."""

from __future__ import annotations

from ragkit.eval.metrics.measure import Option, declare


def matched(gold: frozenset[int], predicted: frozenset[int], w: int) -> int:
    """Return the number of pairs within `w`: the nearest first, ties to the earlier gold, then the earlier predicted.

    >>> matched(frozenset({6, 10}), frozenset({5, 8, 10}), 1)
    2
    """
    pairs = sorted(
        (abs(shift), position, position + shift)
        for position in gold
        for shift in range(-w, w + 1)
        if position + shift in predicted
    )
    used_gold: set[int] = set()
    used_predicted: set[int] = set()
    for _, position, other in pairs:
        if position not in used_gold and other not in used_predicted:
            used_gold.add(position)
            used_predicted.add(other)
    return len(used_gold)


def _score(gold: frozenset[int], predicted: frozenset[int], n: int, w: int) -> float:
    if not gold and not predicted:
        return 1.0
    return 2 * matched(gold, predicted, min(w, n)) / (len(gold) + len(predicted))


WF1 = declare("WF1", "segmentation", _score, "F1 of boundaries matched within w units", w=Option(1, low=0))
