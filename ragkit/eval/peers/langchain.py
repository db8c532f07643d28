"""langchain-text-splitters 1.1: the recursive character splitter, and fixed windows of tokens."""

from __future__ import annotations

from typing import Any

from ragkit.eval.peers.bare import bare_tokenizer
from ragkit.eval.peers.chunker import Cut
from ragkit.eval.peers.mapping import Piece
from ragkit.eval.peers.verbatim import VerbatimTokenizer
from ragkit.models.tokenizer import HfTokenizer


def recursive(package: Any, tokenizer: HfTokenizer, size: int, overlap: int) -> Cut:
    """Return RecursiveCharacterTextSplitter with lengths in tokens.

    Its own start offsets (`add_start_index`) are not asked for: with a length function of tokens it subtracts an
    overlap of tokens from an offset in characters. The pieces are found in order instead.
    """
    bare = bare_tokenizer(tokenizer)
    splitter = package.RecursiveCharacterTextSplitter(
        chunk_size=size,
        chunk_overlap=overlap,
        length_function=lambda text: len(bare.encode(text, add_special_tokens=False)),
    )
    return lambda text: [Piece(piece) for piece in splitter.split_text(text)]


def token(package: Any, tokenizer: HfTokenizer, size: int, overlap: int) -> Cut:
    """Return the windows of `split_text_on_tokens`, which TokenTextSplitter applies to OpenAI's encodings alone.

    It decodes them: the tokenizer that it is given gives back the text as it stands.
    """
    verbatim = VerbatimTokenizer(tokenizer)
    window = package.Tokenizer(
        chunk_overlap=overlap,
        tokens_per_chunk=size,
        decode=verbatim.decode,
        encode=verbatim.encode,
    )
    return lambda text: [Piece(piece) for piece in package.split_text_on_tokens(text=text, tokenizer=window)]
