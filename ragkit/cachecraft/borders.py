"""Where two ways of cutting one text into tokens part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def differences(own: Sequence[str], other: Sequence[str]) -> int:
    """Return at how many places two sequences of tokens, as the vocabulary writes them, cut their text differently.

    At least 1: it is asked of sequences that are not equal.

    >>> differences(["the", "un", "believ", "able", "tale", "."], ["the", "unbeliev", "able", "t", "ale", "."])
    2
    """
    ends, others = _ends(own), _ends(other)
    common = np.intersect1d(ends, others)
    apart = np.setxor1d(ends, others)
    return max(1, len(np.unique(np.searchsorted(common, apart))))


def _ends(tokens: Sequence[str]) -> NDArray[np.int64]:
    return np.cumsum([len(token) for token in tokens], dtype=np.int64)
