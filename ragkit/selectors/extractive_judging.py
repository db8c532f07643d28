"""Sentences scored by a reranker, such as a cross-encoder, each shown with the sentences beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ragkit.errors import ConfigError
from ragkit.protocols import Reranker
from ragkit.schema import Hit
from ragkit.scoring.order import Scores, finite
from ragkit.selectors.extractive_scoring import Span

SEPARATOR = " || "
"""Between the judged sentence and its surroundings; `ragkit train reranker` shows sentences in the same way."""


class JudgedSentences:
    """What a reranker says of each sentence, all sentences of a question in one call.

    A text is the sentence, a separator, and the sentence again between its neighbours: first what is judged, which a
    short window then never cuts off, then what tells what "it" in the sentence is.
    """

    name = "reranker"

    def __init__(self, reranker: Reranker, neighbours: int = 1) -> None:
        if neighbours < 0:
            raise ConfigError(
                f"neighbours is {neighbours}; expected 0 or more.", hint="neighbours: 0 shows a sentence alone."
            )
        self._reranker = reranker
        self._neighbours = neighbours

    def score(self, query: str, hits: Sequence[Hit], sentences: Sequence[Sequence[Span]]) -> list[Scores]:
        """Return the reranker's scores; raises what it raises, ContractError for scores that are not finite."""
        texts = [
            shown(hit.chunk.text, own, at, self._neighbours)
            for hit, own in zip(hits, sentences, strict=True)
            for at in range(len(own))
        ]
        if not texts:
            return [np.zeros(0) for _ in sentences]
        flat = finite(self._reranker.score(query, texts), f"scores of {self._reranker.name}", len(texts))
        return np.split(flat, np.cumsum([len(own) for own in sentences])[:-1])

    def trace(self) -> dict[str, Any]:
        """Return the name, the reranker with its fingerprint, and how many neighbours it sees."""
        return {
            "name": self.name,
            "reranker": self._reranker.name,
            "fingerprint": self._reranker.fingerprint,
            "neighbours": self._neighbours,
        }


def shown(text: str, sentences: Sequence[Span], at: int, neighbours: int) -> str:
    """Return what a reranker reads of sentence `at` of `text`: it alone where it has no neighbours.

    >>> shown("One. Two. Three.", [(0, 4), (5, 9), (10, 16)], 0, 1)
    'One. || One. Two.'
    >>> shown("One. Two. Three.", [(0, 4), (5, 9), (10, 16)], 0, 0)
    'One.'
    """
    start, end = sentences[at]
    first, last = max(0, at - neighbours), min(len(sentences) - 1, at + neighbours)
    alone = text[start:end]
    return alone if first == last else f"{alone}{SEPARATOR}{text[sentences[first][0] : sentences[last][1]]}"
