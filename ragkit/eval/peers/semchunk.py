"""semchunk 4.1, with the offsets that it returns."""

from __future__ import annotations

from typing import Any

from ragkit.eval.peers.bare import bare_tokenizer
from ragkit.eval.peers.chunker import Cut
from ragkit.eval.peers.mapping import Piece
from ragkit.models.tokenizer import HfTokenizer


def semantic(package: Any, tokenizer: HfTokenizer, size: int, overlap: int) -> Cut:
    """Return semchunk's chunker; given the tokenizer itself it counts without special tokens and caches counts."""
    chunker = package.chunkerify(bare_tokenizer(tokenizer), chunk_size=size)

    def cut(text: str) -> list[Piece]:
        pieces, offsets = chunker(text, offsets=True, overlap=overlap or None)
        return [Piece(piece, start) for piece, (start, _) in zip(pieces, offsets, strict=True)]

    return cut
