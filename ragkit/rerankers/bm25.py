"""BM25 over the candidates alone (Robertson and Zaragoza 2009), with the terms of the lexical index.

Rarity and mean length are those of the candidates, not of the collection: what all of them share counts for little,
which is what tells them apart. So a score depends on the other candidates (`listwise`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from ragkit.errors import ConfigError
from ragkit.identity import content_hash
from ragkit.index.analysis import analyzable, analyzer
from ragkit.scoring.bm25 import K1, B, bm25
from ragkit.scoring.order import Scores


class Bm25Reranker:
    """BM25 scores, 0 or more; `language` stems words as the lexical index does."""

    name = "bm25"
    scale: Literal["unbounded"] = "unbounded"
    window = None
    listwise = True
    """A score depends on the other texts of the call."""

    def __init__(self, k1: float = K1, b: float = B, language: str = "english") -> None:
        """Take the parameters of BM25; raise ConfigError unless k1 >= 0 and 0 <= b <= 1."""
        if not (0 <= k1 < math.inf and 0 <= b <= 1):
            raise ConfigError(f"k1 is {k1} and b {b}; expected k1 >= 0 and b in [0, 1].", hint="Correct them.")
        self._k1, self._b, self._language = k1, b, language
        self.fingerprint = content_hash("bm25 reranker", version=1, k1=k1, b=b, language=language)

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the scores, shape (texts,)."""
        asked = Counter(self._terms(query))
        counts = [Counter(self._terms(text)) for text in texts]
        return bm25(asked, counts, self._k1, self._b)

    def _terms(self, text: str) -> list[str]:
        return list(self._analyzer.analyze(analyzable(text)))

    @cached_property
    def _analyzer(self) -> Any:
        return analyzer(self._language)
