"""Lexical search needs no vectors: which systems can do without, and the embedder that makes none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragkit.eval.experiment.systems import System
from ragkit.identity import content_hash
from ragkit.plugins import asks_for
from ragkit.protocols import Embedder, Progress, Vectors
from ragkit.schema import Chunked


def needs_vectors(system: System) -> bool:
    """Return whether the retriever of `system` embeds questions, or a selector of it may look at vectors."""
    selector = system.config.selector.name if system.selects else "top_k"
    return asks_for("retrievers", system.config.retriever.name, "embedder") or selector != "top_k"


class NoVectors:
    """Counts tokens as `embedder` does and gives every chunk the same vector of one dimension: nothing is computed."""

    dimension = 1
    cheap = True

    def __init__(self, embedder: Embedder) -> None:
        self.name = f"no vectors, tokens of {embedder.name}"
        self.window = embedder.window
        self.tokenizer = embedder.tokenizer
        self.fingerprint = content_hash("no vectors", tokenizer=embedder.tokenizer.fingerprint)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vector (1.0) for every question."""
        return np.ones((len(texts), 1), np.float32)

    def embed_chunks(self, batch: Sequence[Chunked], progress: Progress | None = None) -> Vectors:
        """Return the vector (1.0) for every chunk of `batch`."""
        total = sum(len(chunked.chunks) for chunked in batch)
        if progress is not None and total:
            progress("embed", total, total)
        return np.ones((total, 1), np.float32)
