"""The conformance kit of embedders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragkit.errors import ContractError
from ragkit.protocols import Embedder, Vectors
from ragkit.schema import Chunk, Chunked, Document

_HINT = "See ragkit.protocols.Embedder for the contract."


def check_embedder(embedder: Embedder, texts: Sequence[str], *, tolerance: float = 1e-4) -> None:
    """Raise ContractError where `embedder` breaks its contract on `texts` (at least one, none empty).

    Checked: shape, float32, unit length, order, no input, the same vectors in a second call and whatever else is in the
    batch. `tolerance` bounds one minus the cosine of vectors that should be equal.
    """
    batch = [_whole(text, f"text {number}") for number, text in enumerate(texts)]
    together = embedder.embed_chunks(batch)
    _check_vectors(embedder, together, len(texts))
    _check_same(embedder, together, embedder.embed_chunks(batch), tolerance, "a second call")
    _check_same(embedder, together, embedder.embed_chunks(batch[::-1])[::-1], tolerance, "another order")
    alone = np.concatenate([embedder.embed_chunks([one]) for one in batch])
    _check_same(embedder, together, alone, tolerance, "each text alone")
    queries = embedder.embed_queries(list(texts))
    _check_vectors(embedder, queries, len(texts))
    _check_same(embedder, queries, embedder.embed_queries(list(texts)), tolerance, "a second call for questions")
    _check_vectors(embedder, embedder.embed_queries([]), 0)
    _check_vectors(embedder, embedder.embed_chunks([]), 0)


def _whole(text: str, source: str) -> Chunked:
    document = Document(text, source)
    return Chunked(document, [Chunk.of(document, 0, len(text))])


def _check_vectors(embedder: Embedder, vectors: Vectors, expected: int) -> None:
    if vectors.shape != (expected, embedder.dimension):
        raise ContractError(
            f"{embedder.name}: shape {vectors.shape}, expected {(expected, embedder.dimension)}.", hint=_HINT
        )
    if vectors.dtype != np.float32:
        raise ContractError(f"{embedder.name}: {vectors.dtype} vectors, expected float32.", hint=_HINT)
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
        raise ContractError(f"{embedder.name}: vectors that are not of unit length.", hint=_HINT)


def _check_same(embedder: Embedder, first: Vectors, second: Vectors, tolerance: float, what: str) -> None:
    if first.shape != second.shape or (1.0 - np.sum(first * second, axis=1) > tolerance).any():
        raise ContractError(f"{embedder.name}: other vectors in {what}.", hint=_HINT)
