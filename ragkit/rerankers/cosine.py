"""Cosine of question and text by the embedder: the dense retriever's judgement, for hits of any retriever."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from ragkit.identity import content_hash
from ragkit.protocols import Embedder
from ragkit.schema import Chunk, Chunked, Document
from ragkit.scoring.order import Scores


class CosineReranker:
    """Scores a text by its vector's cosine to the question's; vectors of indexed texts come from the cache."""

    name = "cosine"
    scale: Literal["cosine"] = "cosine"

    def __init__(self, embedder: Embedder) -> None:
        """Embed with `embedder`."""
        self._embedder = embedder

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the embedder."""
        return content_hash("cosine reranker", embedder=self._embedder.fingerprint)

    @cached_property
    def window(self) -> int:
        """Tokens of one text that are read."""
        return self._embedder.window

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, in the unit of `window`."""
        return self._embedder.tokenizer.count(texts)

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the cosines, shape (texts,)."""
        if not texts:
            return np.zeros(0)
        documents = [Document(text, "reranked") for text in texts]
        batch = [Chunked(one, [Chunk.of(one, 0, len(one.text))]) for one in documents]
        question = np.asarray(self._embedder.embed_queries([query]), np.float64)[0]
        # row by row, as a product of matrices rounds differently with the number of rows
        return np.array([row @ question for row in np.asarray(self._embedder.embed_chunks(batch), np.float64)])
