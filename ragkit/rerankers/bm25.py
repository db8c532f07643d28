"""BM25 over the candidates alone (Robertson and Zaragoza 2009), with the terms of the lexical index.

Rarity and mean length are those of the candidates, not of the collection: what all of them share counts for little,
which is what tells them apart. So a score depends on the other candidates (`listwise`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ragkit.errors import ConfigError
from ragkit.identity import content_hash
from ragkit.index.analysis import analyzable, analyzer
from ragkit.scoring.order import Scores


class Bm25Reranker:
    """BM25 scores, 0 or more; `language` stems words as the lexical index does."""

    name = "bm25"
    scale: Literal["unbounded"] = "unbounded"
    window = None
    listwise = True
    """A score depends on the other texts of the call."""

    def __init__(self, k1: float = 1.2, b: float = 0.75, language: str = "english") -> None:
        """Take the parameters of BM25; raise ConfigError unless k1 >= 0 and 0 <= b <= 1."""
        if not (k1 >= 0 and 0 <= b <= 1):
            raise ConfigError(f"k1 is {k1} and b {b}; expected k1 >= 0 and b in [0, 1].", hint="Correct them.")
        self._k1, self._b, self._language = k1, b, language
        self.fingerprint = content_hash("bm25 reranker", version=1, k1=k1, b=b, language=language)

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the scores, shape (texts,)."""
        asked = Counter(self._terms(query))
        counts = [Counter(self._terms(text)) for text in texts]
        if not asked or not counts:
            return np.zeros(len(texts))
        weights = np.array(list(asked.values()), np.float64)
        frequencies = np.array([[one[term] for term in asked] for one in counts], np.float64)
        lengths = np.array([one.total() for one in counts], np.float64)
        holding = (frequencies > 0).sum(axis=0)
        idf = np.log1p((len(texts) - holding + 0.5) / (holding + 0.5))
        norm = self._k1 * (1 - self._b + self._b * lengths / max(lengths.mean(), 1.0))
        saturated = frequencies * (self._k1 + 1) / np.maximum(frequencies + norm[:, None], 1e-12)
        return np.asarray(saturated @ (weights * idf))

    def _terms(self, text: str) -> list[str]:
        return list(self._analyzer.analyze(analyzable(text)))

    @cached_property
    def _analyzer(self) -> Any:
        return analyzer(self._language)
