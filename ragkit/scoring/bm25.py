"""BM25 among given texts (Robertson and Zaragoza 2009): rarity and mean length are those of the texts themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ragkit.scoring.order import Scores

K1, B = 1.2, 0.75


def bm25(asked: Counter[str], texts: Sequence[Counter[str]], k1: float = K1, b: float = B) -> Scores:
    """Return the score of each text, shape (texts,), 0 or more, from how often terms occur in question and texts.

    >>> bm25(Counter(["crane"]), [Counter(["crane", "dock"]), Counter(["dock", "ship"])]).round(3).tolist()
    [0.693, 0.0]
    """
    if not asked or not texts:
        return np.zeros(len(texts))
    weights = np.array(list(asked.values()), np.float64)
    frequencies = np.array([[one[term] for term in asked] for one in texts], np.float64)
    lengths = np.array([one.total() for one in texts], np.float64)
    holding = (frequencies > 0).sum(axis=0)
    idf = np.log1p((len(texts) - holding + 0.5) / (holding + 0.5))
    norm = k1 * (1 - b + b * lengths / max(lengths.mean(), 1.0))
    saturated = frequencies * (k1 + 1) / np.maximum(frequencies + norm[:, None], 1e-12)
    return np.asarray(saturated @ (weights * idf))
