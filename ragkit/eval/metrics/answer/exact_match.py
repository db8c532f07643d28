"""Exact match (Rajpurkar et al. 2016)."""

from __future__ import annotations

from ragkit.eval.metrics.answer.words import normalised
from ragkit.eval.metrics.measure import declare


def exact_match(prediction: str, gold: str) -> float:
    """Return 1 if both texts are equal after SQuAD's normalisation, else 0.

    >>> exact_match("The Eiffel Tower.", "eiffel tower")
    1.0
    """
    return float(normalised(prediction) == normalised(gold))


EM = declare("EM", "answer", exact_match, "1 if the answer equals a gold answer after normalisation, else 0")
