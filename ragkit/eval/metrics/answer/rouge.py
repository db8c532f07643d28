"""ROUGE-L and ROUGE-n (Lin 2004), F1 with beta 1; no stemming, articles stay, as rouge-score without its stemmer."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.eval.metrics.answer.words import grams, overlap_f1, words
from ragkit.eval.metrics.measure import Option, declare


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, by bit-parallel rows (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, token in enumerate(first):
        places[token] = places.get(token, 0) | (1 << place)
    full = (1 << len(first)) - 1
    row = full
    for token in second:
        matched = row & places.get(token, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(first) - row.bit_count()


def rouge_l(prediction: str, gold: str) -> float:
    """Return the F1 of the longest common subsequence of words.

    >>> round(rouge_l("the cat lay on a mat", "the cat sat on the mat"), 3)
    0.667
    """
    predicted, wanted = words(prediction), words(gold)
    return overlap_f1(longest_common_subsequence(predicted, wanted), len(predicted), len(wanted))


def rouge_n(prediction: str, gold: str, n: int = 1) -> float:
    """Return the F1 of shared runs of `n` words: 1 for two empty texts, 0 if neither text has `n` words."""
    mine, theirs = words(prediction), words(gold)
    if (mine or theirs) and max(len(mine), len(theirs)) < n:
        return 0.0
    predicted, wanted = grams(mine, n), grams(theirs, n)
    return overlap_f1((predicted & wanted).total(), predicted.total(), wanted.total())


ROUGE_L = declare("ROUGE_L", "answer", rouge_l, "F1 of the longest common subsequence of words")

ROUGE = declare("ROUGE", "answer", rouge_n, "F1 of shared runs of n words", n=Option(1, low=1, high=9))
