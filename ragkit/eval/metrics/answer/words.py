"""Answers as comparable tokens: SQuAD's normalisation, words, n-grams; Chinese and its neighbours by character."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

# Han, kana and Hangul have no spaces that separate comparable words, or endings stuck to them
_WIDE = (
    "\u1100-\u11ff\u3040-\u30ff\u3100-\u312f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af"
)
_NORMALISED = re.compile(rf"[{_WIDE}]|[^\s{_WIDE}]+")
_WORD = re.compile(rf"[{_WIDE}]|[^\W_{_WIDE}]+")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_ASCII_PUNCTUATION = frozenset(string.punctuation)


def normalised(text: str) -> list[str]:
    """Return the tokens after SQuAD's normalisation: lower case, no punctuation, no articles, spaces collapsed.

    Unlike SQuAD's script, punctuation beyond ASCII goes too.

    >>> normalised("The U.S. Army!")
    ['us', 'army']
    """
    kept = "".join(character for character in text.lower() if not _is_punctuation(character))
    return _NORMALISED.findall(_ARTICLES.sub(" ", kept))


def words(text: str) -> list[str]:
    """Return lower-case words and numbers; articles stay. On ASCII text the tokens of the rouge-score package."""
    return _WORD.findall(text.lower())


def grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """Return how often each run of `n` tokens occurs."""
    return Counter(tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1))


def overlap_f1(common: int, predicted: int, gold: int) -> float:
    """Return the harmonic mean of common / predicted and common / gold: 1 if both sides are empty, 0 if one is."""
    if not predicted and not gold:
        return 1.0
    return 2 * common / (predicted + gold)


def _is_punctuation(character: str) -> bool:
    return character in _ASCII_PUNCTUATION or (character > "\x7f" and unicodedata.category(character)[0] == "P")
