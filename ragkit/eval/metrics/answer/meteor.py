"""METEOR in its exact form (Banerjee & Lavie 2005): no stems, no synonyms.

Words are aligned run by run, the longest run that both texts share first: every shared word is matched, in few runs
(the fewest cannot be found quickly in general).
"""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.eval.metrics.answer.words import words
from ragkit.eval.metrics.measure import declare


def meteor_exact(prediction: str, gold: str) -> float:
    """Return F(1 - penalty), F = PR / (.9P + .1R), penalty = .5 (runs / matches)^3; 1 for two empty texts.

    >>> round(meteor_exact("the cat sat on mat", "the cat sat on the mat"), 3)
    0.82
    """
    predicted, wanted = words(prediction), words(gold)
    if not predicted and not wanted:
        return 1.0
    runs = aligned_runs(predicted, wanted)
    matches = sum(runs)
    if not matches:
        return 0.0
    precision, recall = matches / len(predicted), matches / len(wanted)
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    return mean * (1 - 0.5 * (len(runs) / matches) ** 3)


def aligned_runs(first: Sequence[str], second: Sequence[str]) -> list[int]:
    """Return the lengths of the matched contiguous runs, the longest first."""
    left: list[str | None] = list(first)
    right: list[str | None] = list(second)
    runs: list[int] = []
    while True:
        size, start, other = _longest_run(left, right)
        if not size:
            return runs
        runs.append(size)
        left[start : start + size] = [None] * size
        right[other : other + size] = [None] * size


def _longest_run(left: Sequence[str | None], right: Sequence[str | None]) -> tuple[int, int, int]:
    """Return length and both starts of the longest run of equal words that are left, the first of several."""
    places: dict[str, list[int]] = {}
    for place, word in enumerate(right):
        if word is not None:
            places.setdefault(word, []).append(place)
    best = (0, 0, 0)
    before: dict[int, int] = {}
    for place, word in enumerate(left):
        lengths = {other: before.get(other - 1, 0) + 1 for other in (places.get(word, ()) if word is not None else ())}
        for other, length in lengths.items():
            if length > best[0]:
                best = (length, place - length + 1, other - length + 1)
        before = lengths
    return best


METEOR = declare("METEOR", "answer", meteor_exact, "METEOR with exact word matches only")
