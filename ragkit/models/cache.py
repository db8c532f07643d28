"""An embedder that remembers: only texts that were never embedded before are computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.identity import content_hash
from ragkit.models.vector_cache import EmbeddingCache, cache_enabled
from ragkit.protocols import Embedder, Progress, Vectors
from ragkit.schema import Chunk, Chunked, Document

__all__ = ["CachedEmbedder", "EmbeddingCache", "cached_embedder"]

_SAVE_EVERY = 1024
"""Chunks computed between two writes: what a killed process loses at most."""


def cached_embedder(embedder: Embedder, *, enabled: bool = True) -> Embedder:
    """Return `embedder` with the cache of its fingerprint in front.

    Returned unchanged if not `enabled`, if RAGKIT_EMBEDDING_CACHE is "off", or where computing is cheaper than looking
    up (`embedder.cheap`).
    """
    if not enabled or not cache_enabled() or getattr(embedder, "cheap", False):
        return embedder
    return CachedEmbedder(embedder, EmbeddingCache.of(embedder.fingerprint, embedder.dimension))


class CachedEmbedder:
    """An `Embedder` over another one; chunks come from the cache where they can, questions are always computed.

    The key is the `index_text`. Where a vector depends on more (`embedder.contextual`), the document and the span are
    in the key, and a document with one unknown chunk is computed whole.
    """

    def __init__(self, embedder: Embedder, cache: EmbeddingCache) -> None:
        """Put `cache` in front of `embedder`, whose fingerprint the cache must belong to."""
        self._embedder = embedder
        self._cache = cache
        self.name = embedder.name
        self.fingerprint = embedder.fingerprint
        self.dimension = embedder.dimension
        self.window = embedder.window
        self.tokenizer = embedder.tokenizer
        self.contextual: bool = getattr(embedder, "contextual", False)
        self.computed = 0
        """Chunks whose vectors were computed so far; all others came from the cache."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per question."""
        return self._embedder.embed_queries(texts)

    def embed_chunks(self, batch: Sequence[Chunked], progress: Progress | None = None) -> Vectors:
        """Return one vector per chunk of `batch`, concatenated in order."""
        keys = [[self._key(chunked.document, chunk) for chunk in chunked.chunks] for chunked in batch]
        flat = [key for of_document in keys for key in of_document]
        found = self._cache.get(flat)
        total = len(flat)
        for part, part_keys in self._missing(batch, keys, found):
            known = sum(key in found for key in flat)
            report = None if progress is None else _shifted(progress, known, total)
            vectors = self._embedder.embed_chunks(part, report)
            fresh = dict(zip(part_keys, vectors, strict=True))
            self.computed += len(part_keys)
            self._cache.put(fresh)
            found.update(fresh)
        if progress is not None and total:
            progress("embed", total, total)
        out = np.empty((total, self.dimension), dtype=np.float32)
        for row, key in enumerate(flat):
            out[row] = found[key]
        return out

    def close(self) -> None:
        """Close the cache's file."""
        self._cache.close()

    def _missing(
        self, batch: Sequence[Chunked], keys: Sequence[Sequence[bytes]], found: dict[bytes, NDArray[np.float32]]
    ) -> Iterator[tuple[list[Chunked], list[bytes]]]:
        """Yield what must be computed with its keys, each content once, about `_SAVE_EVERY` chunks at a time."""
        part: list[Chunked] = []
        part_keys: list[bytes] = []
        seen = set(found)
        for chunked, own in zip(batch, keys, strict=True):
            whole = self.contextual and any(key not in seen for key in own)
            fresh: dict[bytes, Chunk] = {}
            for key, chunk in zip(own, chunked.chunks, strict=True):
                if whole or key not in seen:
                    fresh.setdefault(key, chunk)
            seen.update(fresh)
            for some in _slices(list(fresh.items()), None if self.contextual else _SAVE_EVERY):
                part.append(Chunked(chunked.document, [chunk for _, chunk in some]))
                part_keys.extend(key for key, _ in some)
                if len(part_keys) >= _SAVE_EVERY:
                    yield part, part_keys
                    part, part_keys = [], []
        if part_keys:
            yield part, part_keys

    def _key(self, document: Document, chunk: Chunk) -> bytes:
        if self.contextual:
            name = content_hash(
                "embedding in context",
                document=document.text_hash,
                source=document.source,
                start=chunk.start,
                end=chunk.end,
                text=chunk.index_text,
            )
        else:
            name = content_hash("embedding", text=chunk.index_text)
        return bytes.fromhex(name)


def _slices(items: list[tuple[bytes, Chunk]], size: int | None) -> Iterator[list[tuple[bytes, Chunk]]]:
    step = size or max(1, len(items))
    for start in range(0, len(items), step):
        yield items[start : start + step]


def _shifted(progress: Progress, known: int, total: int) -> Progress:
    """Return `progress` counting on from the chunks that are already known."""

    def report(stage: str, done: int, _: int | None) -> None:
        progress(stage, min(known + done, total), total)

    return report
