"""Documents cut every few characters, with vectors that depend on the text alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from ragkit.config import PipelineConfig
from ragkit.index.header import IndexHeader
from ragkit.schema import Chunk, Chunked, Document

DIMENSION = 16


def vector(text: str) -> np.ndarray:
    values = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIMENSION).astype(np.float32)
    return values / np.linalg.norm(values)


def cut(document: Document, size: int = 20) -> Chunked:
    """Cut every `size` characters; blanks at both ends are left out."""
    chunks = []
    for start in range(0, len(document.text), size):
        piece = document.text[start : start + size]
        if piece.strip():
            lead = len(piece) - len(piece.lstrip())
            chunks.append(Chunk.of(document, start + lead, start + len(piece.rstrip())))
    return Chunked(document, chunks)


def embed(batch: Sequence[Chunked]) -> np.ndarray:
    vectors = [vector(chunk.index_text) for _, chunks in batch for chunk in chunks]
    return np.stack(vectors) if vectors else np.zeros((0, DIMENSION), np.float32)


def header() -> IndexHeader:
    return IndexHeader("test", PipelineConfig(), "embedder", "chunker", DIMENSION)
