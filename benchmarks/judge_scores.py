"""A reranker that looks up scores which a judge gave elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.judge_pack import read
from ragkit.errors import ModelError


def digest(path: Path) -> str:
    """Return the hash of a file of scores."""
    return sha256(path.read_bytes()).hexdigest()[:16]


@cache
def _known(path: str) -> dict[tuple[str, str], float]:
    content = read(Path(path))
    questions, texts = content["questions"], content["texts"]
    return {
        (questions[question], texts[text]): score
        for (question, text), score in zip(content["pairs"], content["scores"], strict=True)
    }


class RememberedReranker:
    """The logits in `file`, whose hash is `fingerprint`; a pair that is not there is an error, never a 0."""

    name = "remembered"
    scale: Literal["logit"] = "logit"
    window = None

    def __init__(self, file: str, fingerprint: str) -> None:
        self._file = file
        self.fingerprint = fingerprint

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """Return the logits of `texts`."""
        known = _known(self._file)
        try:
            return np.array([known[query, text] for text in texts], np.float64)
        except KeyError as error:
            raise ModelError(f"{self._file} has no score for {error}.", hint="Pack and score again.") from None
