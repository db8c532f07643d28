"""Sentences scored by what the embedder and the question's words say of them and of the chunk around them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ConfigError
from ragkit.index.analysis import analyzable, analyzer
from ragkit.protocols import Embedder
from ragkit.schema import Chunk, Chunked, Document, Hit
from ragkit.scoring.bm25 import bm25
from ragkit.scoring.order import Scores, finite
from ragkit.selectors.extractive_scoring import SentenceScorer, Span

_Vectors = NDArray[np.float64]


class FusedSentences:
    """The mean of five views of a sentence, each in standard deviations over all sentences that are read.

    Cosine to the question of the sentence, of it with its neighbours (the direction of the sum of their vectors) and of
    its chunk; BM25 of the sentence among the sentences, and of its chunk among the chunks. Cosine finds the paraphrase,
    words the name and the number; the chunk says whether the sentence is about the matter at all. From the vectors of
    sentences, and from the question's, the mean of the sentences is taken away first: what all of them speak of tells
    none from another, as the idf of BM25 has it for words. The weights are equal unless others are given: those learnt
    on one data set were not better on others, those learnt on several (`learnt_weights`) a little. A judge of
    sentences, where there is one, is a sixth view with a weight of its own.
    """

    name = "fusion"

    def __init__(
        self,
        embedder: Embedder,
        language: str = "english",
        judge: SentenceScorer | None = None,
        weight: float = 5.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"weight is {weight}; expected 0 or more.", hint="The five other views weigh 1 each.")
        self._embedder = embedder
        self._language = language
        self._judge = judge
        self._weight = weight
        self._weights = weights

    def score(self, query: str, hits: Sequence[Hit], sentences: Sequence[Sequence[Span]]) -> list[Scores]:
        """Return the mean deviations; vectors of texts seen before come from the embedder's cache."""
        sizes = [len(own) for own in sentences]
        if not any(sizes):
            return [np.zeros(0) for _ in sentences]
        views = self.views(query, hits, sentences)
        fused = np.average(views, axis=0, weights=self._weights)
        if self._judge is not None:
            judged = _deviations(np.concatenate(self._judge.score(query, hits, sentences)))
            fused = (len(views) * fused + self._weight * judged) / (len(views) + self._weight)
        return np.split(finite(fused, "fused sentences"), np.cumsum(sizes)[:-1])

    def views(self, query: str, hits: Sequence[Hit], sentences: Sequence[Sequence[Span]]) -> _Vectors:
        """Return the five views in standard deviations, shape (5, sentences); there is at least one sentence."""
        sizes = [len(own) for own in sentences]
        texts = [hit.chunk.text[start:end] for hit, own in zip(hits, sentences, strict=True) for start, end in own]
        chunk_texts = [hit.chunk.index_text for hit in hits]
        question = np.asarray(self._embedder.embed_queries([query]), np.float64)[0]
        vectors = self._vectors([*texts, *chunk_texts])
        alone, whole = vectors[: len(texts)], vectors[len(texts) :]
        asked = self._terms(query)
        views = (
            _centred_cosines(alone, question),
            _centred_cosines(_with_neighbours(alone, sizes), question),
            np.repeat(_cosines(whole, question), sizes),
            bm25(asked, [self._terms(text) for text in texts]),
            np.repeat(bm25(asked, [self._terms(text) for text in chunk_texts]), sizes),
        )
        return np.array([_deviations(view) for view in views])

    def trace(self) -> dict[str, Any]:
        """Return the name, the embedder, and the judge with its weight where there is one."""
        told: dict[str, Any] = {"name": self.name, "embedder": self._embedder.name, "language": self._language}
        if self._weights is not None:
            told |= {"name": "learned", "weights": list(self._weights)}
        return told if self._judge is None else {**told, "judge": self._judge.trace(), "weight": self._weight}

    def _vectors(self, texts: Sequence[str]) -> _Vectors:
        batch = []
        for text in texts:
            document = Document(text, "sentences")
            batch.append(Chunked(document, [Chunk.of(document, 0, len(text))]))
        return np.asarray(self._embedder.embed_chunks(batch), np.float64)

    def _terms(self, text: str) -> Counter[str]:
        return Counter(self._analyzer.analyze(analyzable(text)))

    @cached_property
    def _analyzer(self) -> Any:
        return analyzer(self._language)


def learnt_weights() -> tuple[float, ...]:
    """Return the weights of the five views that ship with the package; the file beside this one says whence."""
    path = Path(__file__).with_name("extractive_weights.json")
    return tuple(map(float, json.loads(path.read_text(encoding="utf-8"))["weights"]))


def _cosines(vectors: _Vectors, question: _Vectors) -> Scores:
    # row by row, as a product of matrices rounds differently with the number of rows
    return np.array([row @ question for row in vectors])


def _centred_cosines(vectors: _Vectors, question: _Vectors) -> Scores:
    """Return the cosines once the mean of the unit vectors is taken from them and from the question."""
    mean = vectors.mean(axis=0)
    return _cosines(_unit(vectors - mean), _unit((question - mean)[None])[0])


def _unit(vectors: _Vectors) -> _Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))


def _with_neighbours(vectors: _Vectors, sizes: Sequence[int]) -> _Vectors:
    """Return the direction of each sentence together with the one before and the one after it in its chunk."""
    rows = []
    for own in _parted(vectors, sizes):
        padded = np.pad(own, ((1, 1), (0, 0)))
        rows.append(padded[:-2] + own + padded[2:])
    return _unit(np.concatenate(rows))


def _parted(vectors: _Vectors, sizes: Sequence[int]) -> Iterator[_Vectors]:
    at = 0
    for size in sizes:
        yield vectors[at : at + size]
        at += size


def _deviations(view: Scores) -> Scores:
    """Return how many standard deviations each value lies above the mean; 0 where all are equal."""
    spread = float(view.std())
    return (view - view.mean()) / spread if spread > 1e-12 else np.zeros(len(view))
