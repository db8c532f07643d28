"""Token F1 (Rajpurkar et al. 2016): multiset overlap of normalised tokens."""

from __future__ import annotations

from ragkit.eval.metrics.answer.words import grams, normalised, overlap_f1
from ragkit.eval.metrics.measure import declare


def token_f1(prediction: str, gold: str) -> float:
    """Return the F1 of shared tokens: 1 if both texts are empty, 0 if one is.

    >>> round(token_f1("Barack Obama born 1961", "Obama was born in 1961"), 3)
    0.667
    """
    predicted, wanted = normalised(prediction), normalised(gold)
    return overlap_f1((grams(predicted, 1) & grams(wanted, 1)).total(), len(predicted), len(wanted))


TokenF1 = declare("TokenF1", "answer", token_f1, "F1 of the tokens shared with a gold answer")
