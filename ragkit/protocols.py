"""What a part must offer to be plugged in. Protocols, not base classes: any class with these methods will do.

A third-party package proves its part with the kits in `ragkit.testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.schema import Chunked, Document, Hit, Selection

Vectors = NDArray[np.float32]
"""Unit-length embeddings, shape (n, dimension)."""

Rows = NDArray[np.int64]
"""Ledger rows of chunks, shape (n,)."""

Gaps = Literal["none", "whitespace"]
"""What a chunker may leave uncovered: nothing, or only characters for which str.isspace() holds."""

Progress = Callable[[str, int, int | None], None]
"""Called with (stage, done, total or None); must be cheap and never raise."""


@runtime_checkable
class Loader(Protocol):
    """Reads one file format."""

    suffixes: tuple[str, ...]
    """Lower-case file name endings it reads, with the dot: (".md", ".markdown")."""

    def load(self, path: Path) -> Iterator[Document]:
        """Yield the documents of `path`; raise LoadError with the reason where that is not possible."""
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Counts tokens and says where they lie in a text. Special tokens are never counted; nothing is truncated."""

    fingerprint: str
    """Identifies the vocabulary and rules; equal fingerprints give equal counts."""

    def offsets(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return for each text its token spans in code points, shape (tokens, 2), in order."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        ...


@runtime_checkable
class Chunker(Protocol):
    """Cuts documents into chunks."""

    name: str
    fingerprint: str
    """Name and every parameter that changes the result, the tokenizer's or model's fingerprint among them."""
    gaps: Gaps

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its chunks, in order.

        Many documents come in so that tokenizers and models see full batches; implementations must stream (hold a
        bounded number of documents).
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns queries and chunks into unit-length vectors of one space."""

    name: str
    fingerprint: str
    dimension: int
    window: int
    """Tokens of one text that are read; what lies beyond is cut off and counted in a warning."""
    tokenizer: Tokenizer
    """Counts this embedder's tokens: chunk sizes are in its unit."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per question."""
        ...

    def embed_chunks(self, batch: Sequence[Chunked], progress: Progress | None = None) -> Vectors:
        """Return one vector per chunk of `batch`, concatenated in order.

        Documents come along so that late and situated encodings can read around a chunk; plain ones embed
        `chunk.index_text`.
        """
        ...


@runtime_checkable
class Retriever(Protocol):
    """Finds chunks of one snapshot of an index."""

    name: str

    def search(self, query: str, k: int, where: str | None = None) -> list[Hit]:
        """Return at most `k` hits, best first, ranks from 1; ties are broken by chunk id, so the order is total."""
        ...


class Corpus(Protocol):
    """What a selector may look up about hits: vectors and neighbours."""

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """Return the stored vector of each chunk row, in order."""
        ...

    def neighbours(self, row: int, before: int, after: int) -> list[Hit]:
        """Return the chunks around `row` in its document, itself included, in document order, with score 0."""
        ...


@runtime_checkable
class Selector(Protocol):
    """Chooses among hits what goes into the prompt; the prompt puts the best next to the question."""

    name: str

    def select(
        self, query: str, hits: Sequence[Hit], limit: int | None = None, corpus: Corpus | None = None
    ) -> Selection:
        """Return what to keep, best first, within `limit` tokens of the answering model, and why the rest fell."""
        ...


class Segment(NamedTuple):
    """One piece of a prompt; a piece that shows a chunk names it, so that a KV cache knows where its chunks are."""

    text: str
    chunk_id: str | None = None


@runtime_checkable
class LanguageModel(Protocol):
    """Generates text from a prompt made of segments."""

    name: str
    fingerprint: str
    window: int
    """Tokens of prompt and answer together."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text for this model."""
        ...

    def generate(self, prompt: Sequence[Segment], *, max_tokens: int, meter: Meter | None = None) -> str:
        """Return the model's greedy reply to `prompt`, at most `max_tokens` long."""
        ...


__all__ = [
    "Chunker",
    "Corpus",
    "Embedder",
    "Gaps",
    "LanguageModel",
    "Loader",
    "Progress",
    "Retriever",
    "Rows",
    "Segment",
    "Selector",
    "Tokenizer",
    "Vectors",
]
