"""chonkie 1.7: token, sentence and recursive chunkers, cut with its own offsets where they are right."""

from __future__ import annotations

from typing import Any

from ragkit.errors import ConfigError
from ragkit.eval.peers.chunker import Cut
from ragkit.eval.peers.mapping import Piece
from ragkit.eval.peers.verbatim import VerbatimTokenizer
from ragkit.models.tokenizer import HfTokenizer


def token(package: Any, tokenizer: HfTokenizer, size: int, overlap: int) -> Cut:
    """Return chonkie's TokenChunker, whose tokenizer decodes windows of tokens to the text as it stands."""
    chosen = _verbatim(package, tokenizer)
    return _cut(package.TokenChunker(tokenizer=chosen, chunk_size=size, chunk_overlap=overlap))


def sentence(package: Any, tokenizer: HfTokenizer, size: int, overlap: int) -> Cut:
    """Return chonkie's SentenceChunker."""
    chosen = _verbatim(package, tokenizer)
    return _cut(package.SentenceChunker(tokenizer=chosen, chunk_size=size, chunk_overlap=overlap))


def recursive(package: Any, tokenizer: HfTokenizer, size: int, overlap: int) -> Cut:
    """Return chonkie's RecursiveChunker, which knows no overlap: asking for one raises ConfigError."""
    if overlap:
        raise ConfigError(
            f"chonkie's recursive chunker has no overlap; {overlap} was asked for.", hint="Leave overlap at 0."
        )
    return _cut(package.RecursiveChunker(tokenizer=_verbatim(package, tokenizer), chunk_size=size))


def _verbatim(package: Any, tokenizer: HfTokenizer) -> VerbatimTokenizer:
    """Return a tokenizer that chonkie takes for one of its own kind, as its documentation offers."""
    package.tokenizer.Tokenizer.register(VerbatimTokenizer)
    return VerbatimTokenizer(tokenizer)


def _cut(chunker: Any) -> Cut:
    return lambda text: [Piece(chunk.text, chunk.start_index) for chunk in chunker.chunk(text)]
