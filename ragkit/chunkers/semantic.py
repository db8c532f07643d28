"""Chunks that end where the meaning of neighbouring sentences changes most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ragkit.chunkers.packing import Limits, TokenView, pack
from ragkit.chunkers.sentences import split_sentences
from ragkit.chunkers.spans import Span
from ragkit.chunkers.streaming import Tokenised, assemble, tokenised
from ragkit.errors import ConfigError
from ragkit.identity import content_hash
from ragkit.protocols import Embedder, Gaps, Tokenizer
from ragkit.schema import Chunk, Chunked, Document


class SemanticChunker:
    """Ends a chunk where the cosine distance between neighbouring sentence windows passes a threshold.

    The window of a sentence is it and `buffer` sentences on each side. The threshold is `threshold` where that is
    above 0, else the `percentile` of the distances in the same document (95 in Kamradt's "5 levels of text splitting",
    2024, which this follows). No chunk has more than `size` tokens: what lies between two breakpoints is packed from
    whole sentences where it is longer. `max_characters` caps a chunk too (0: 12 a token).

    Raises ConfigError for a percentile outside [0, 100], a threshold outside [0, 2] or a negative buffer.
    """

    name = "semantic"
    gaps: Gaps = "whitespace"

    def __init__(
        self,
        tokenizer: Tokenizer,
        embedder: Embedder,
        size: int = 200,
        *,
        percentile: float = 95.0,
        threshold: float = 0.0,
        buffer: int = 1,
        max_characters: int = 0,
    ) -> None:
        _check("percentile", percentile, 100)
        _check("threshold", threshold, 2)
        _check("buffer", buffer, 100)
        self._tokenizer = tokenizer
        self._embedder = embedder
        self._limits = Limits(size, 0, max_characters)
        self._percentile, self._threshold, self._buffer = percentile, threshold, buffer
        self.fingerprint = content_hash(
            "chunker",
            name=self.name,
            version=1,
            tokenizer=tokenizer.fingerprint,
            embedder=embedder.fingerprint,
            size=size,
            percentile=float(percentile),
            threshold=float(threshold),
            buffer=buffer,
            max_characters=self._limits.max_characters,
        )

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its chunks, in order."""
        for batch in tokenised(documents, self._tokenizer, self._limits):
            yield from assemble(self._cut(batch), self._tokenizer, self._limits)

    def _cut(self, batch: list[Tokenised]) -> list[tuple[Document, list[Span]]]:
        """Return the spans of a batch of documents, whose sentences are embedded together."""
        sentences = [split_sentences(document.text) for document, _ in batch]
        vectors = self._embedder.embed_chunks(
            [
                Chunked(document, _windows(document, spans, self._buffer))
                for (document, _), spans in zip(batch, sentences, strict=True)
                if len(spans) > 1
            ]
        )
        cut = []
        at = 0
        for (document, view), spans in zip(batch, sentences, strict=True):
            breaks: list[int] = []
            if len(spans) > 1:
                own = vectors[at : at + len(spans)]
                at += len(spans)
                breaks = self._breaks(1.0 - np.einsum("ij,ij->i", own[1:], own[:-1]).astype(np.float64))
            cut.append((document, list(_between(view, spans, breaks))))
        return cut

    def _breaks(self, distances: NDArray[np.float64]) -> list[int]:
        """Return the sentences that begin a chunk because they differ from the one before; distances shape (n - 1,)."""
        limit = self._threshold or float(np.percentile(distances, self._percentile))
        return (np.flatnonzero(distances > limit) + 1).tolist()


def _windows(document: Document, spans: list[tuple[int, int]], buffer: int) -> list[Chunk]:
    last = len(spans) - 1
    return [
        Chunk.of(document, spans[max(0, index - buffer)][0], spans[min(last, index + buffer)][1])
        for index in range(len(spans))
    ]


def _between(view: TokenView, spans: list[tuple[int, int]], breaks: list[int]) -> Iterator[Span]:
    """Yield the spans between breakpoints, divided at sentences where they are too long."""
    starts = [start for start, _ in spans]
    edges = [0, *breaks, len(spans)]
    for first, last in pairwise(edges):
        if first < last:
            end = starts[last] if last < len(spans) else len(view.text)
            yield from pack(view, starts[first], end, starts[first + 1 : last], clauses=True)


def _check(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise ConfigError(f"{name} is {value}; expected 0 to {most}.", hint=f"Correct {name}.")
