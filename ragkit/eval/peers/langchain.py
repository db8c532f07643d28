"""langchain-text-splitters 1.1: the recursive character splitter, and fixed windows of tokens."""

from __future__ import annotations

from typing import Any

from ragkit.eval.peers.chunker import Cut
from ragkit.eval.peers.mapping import Piece


def recursive(package: Any, tokenizer: Any, size: int, overlap: int) -> Cut:
    """Return RecursiveCharacterTextSplitter with lengths in tokens.

    Its own start offsets (`add_start_index`) are not asked for: with a length function of tokens it subtracts an
    overlap of tokens from an offset in characters. The pieces are found in order instead.
    """
    splitter = package.RecursiveCharacterTextSplitter(
        chunk_size=size,
        chunk_overlap=overlap,
        length_function=lambda text: len(tokenizer.encode(text, add_special_tokens=False)),
    )
    return lambda text: [Piece(piece) for piece in splitter.split_text(text)]


def token(package: Any, tokenizer: Any, size: int, overlap: int) -> Cut:
    """Return the windows of `split_text_on_tokens`, which TokenTextSplitter applies to OpenAI's encodings alone.

    The pieces are decoded tokens: verbatim only if the tokenizer restores text.
    """
    window = package.Tokenizer(
        chunk_overlap=overlap,
        tokens_per_chunk=size,
        decode=tokenizer.decode,
        encode=lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
    )
    return lambda text: [Piece(piece) for piece in package.split_text_on_tokens(text=text, tokenizer=window)]
