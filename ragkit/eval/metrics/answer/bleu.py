"""BLEU (Papineni et al. 2002): clipped n-gram precisions, geometric mean, brevity penalty."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ragkit.errors import UsageError
from ragkit.eval.metrics.answer.words import grams, words
from ragkit.eval.metrics.measure import Option, declare


def bleu(prediction: str, gold: str, n: int = 4, smooth: bool = True) -> float:
    """Return the sentence BLEU of 1- to n-grams; `smooth` adds 1 to both counts for n of 2 and more.

    Orders for which the prediction is too short are left out of the mean. No shared word gives 0.
    """
    predicted, wanted = words(prediction), words(gold)
    matches, totals = _counts(predicted, [wanted], n)
    if smooth:
        matches = [matches[0], *(count + 1 for count in matches[1:])]
        # a length of 0 stays 0: an order that the prediction does not have is no perfect one
        totals = [totals[0], *(count + 1 if count else 0 for count in totals[1:])]
    return _score(matches, totals, len(predicted), len(wanted))


def corpus_bleu(predictions: Sequence[str], golds: Sequence[Sequence[str]], n: int = 4) -> float:
    """Return the BLEU of all predictions together, unsmoothed; counts are clipped by the best reference.

    The reference length is that nearest to the prediction, the shorter where two are as near. Raises UsageError for
    different numbers, and for a prediction without a reference.
    """
    if len(predictions) != len(golds) or not all(golds):
        raise UsageError(
            f"{len(predictions)} predictions and {len(golds)} lists of references were given, "
            f"{sum(not references for references in golds)} of them empty.",
            hint="Give at least one reference for each prediction.",
        )
    matches, totals, length, reference = [0] * n, [0] * n, 0, 0
    for prediction, references in zip(predictions, golds, strict=True):
        predicted, wanted = words(prediction), [words(text) for text in references]
        found, counted = _counts(predicted, wanted, n)
        matches = [sum(pair) for pair in zip(matches, found, strict=True)]
        totals = [sum(pair) for pair in zip(totals, counted, strict=True)]
        length += len(predicted)
        reference += min((abs(len(text) - len(predicted)), len(text)) for text in wanted)[1]
    return _score(matches, totals, length, reference)


def _counts(predicted: list[str], references: list[list[str]], n: int) -> tuple[list[int], list[int]]:
    """Return clipped matches and totals for each order from 1 to n."""
    matches, totals = [], []
    for order in range(1, n + 1):
        found = grams(predicted, order)
        best: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            best |= grams(reference, order)
        matches.append((found & best).total())
        totals.append(found.total())
    return matches, totals


def _score(matches: list[int], totals: list[int], length: int, reference: int) -> float:
    if not length:
        return float(not reference)
    if not matches[0]:
        return 0.0
    precisions = [match / total for match, total in zip(matches, totals, strict=True) if total]
    if not all(precisions):
        return 0.0
    penalty = min(1.0, math.exp(1 - reference / length))
    return penalty * math.exp(sum(map(math.log, precisions)) / len(precisions))


BLEU = declare(
    "BLEU", "answer", bleu, "sentence BLEU of 1- to n-grams", n=Option(4, low=1, high=9), smooth=Option(True)
)
