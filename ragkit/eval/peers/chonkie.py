"""chonkie 1.7: token, sentence and recursive chunkers, cut with its own offsets where they are right."""

from __future__ import annotations

from typing import Any

from ragkit.errors import ConfigError
from ragkit.eval.peers.chunker import Cut
from ragkit.eval.peers.mapping import Piece


def token(package: Any, tokenizer: Any, size: int, overlap: int) -> Cut:
    """Return chonkie's TokenChunker, whose pieces are decoded tokens: verbatim only if the tokenizer restores text."""
    return _cut(package.TokenChunker(tokenizer=tokenizer, chunk_size=size, chunk_overlap=overlap))


def sentence(package: Any, tokenizer: Any, size: int, overlap: int) -> Cut:
    """Return chonkie's SentenceChunker."""
    return _cut(package.SentenceChunker(tokenizer=tokenizer, chunk_size=size, chunk_overlap=overlap))


def recursive(package: Any, tokenizer: Any, size: int, overlap: int) -> Cut:
    """Return chonkie's RecursiveChunker, which knows no overlap: asking for one raises ConfigError."""
    if overlap:
        raise ConfigError(
            f"chonkie's recursive chunker has no overlap; {overlap} was asked for.", hint="Leave overlap at 0."
        )
    return _cut(package.RecursiveChunker(tokenizer=tokenizer, chunk_size=size))


def _cut(chunker: Any) -> Cut:
    return lambda text: [Piece(chunk.text, chunk.start_index) for chunk in chunker.chunk(text)]
