"""An embedder that embeds a question once, whatever asks for it, and many questions in one batch beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.protocols import Embedder, Progress, Vectors
from ragkit.schema import Chunked


class QuestionMemory:
    """An `Embedder` over another one that remembers the vectors of questions."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self.name = embedder.name
        self.fingerprint = embedder.fingerprint
        self.dimension = embedder.dimension
        self.window = embedder.window
        self.tokenizer = embedder.tokenizer
        self.contextual: bool = getattr(embedder, "contextual", False)

    @property
    def computed(self) -> int | None:
        """Chunks whose vectors were computed so far; None where no cache stands in between: all of them."""
        return getattr(self._embedder, "computed", None)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per question; only new ones are computed, in one batch."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._embedder.embed_queries(new), strict=True))
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        return np.stack([self._vectors[text] for text in texts])

    def embed_chunks(self, batch: Sequence[Chunked], progress: Progress | None = None) -> Vectors:
        """Return one vector per chunk of `batch`, concatenated in order."""
        return self._embedder.embed_chunks(batch, progress)
