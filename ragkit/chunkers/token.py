"""Windows of a fixed number of tokens, cut between words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ragkit.chunkers.packing import Limits, TokenView, pack
from ragkit.chunkers.spans import Span
from ragkit.chunkers.streaming import cut_documents
from ragkit.protocols import Gaps, Tokenizer
from ragkit.schema import Chunked, Document


class TokenChunker:
    """Cuts every `size` tokens or a little before, at the end of a word; neighbours share up to `overlap` tokens.

    Whole words are shared. `max_characters` caps a chunk too (0: 12 a token), for text that hardly has tokens: a line
    of a million letters is one unknown word to MiniLM. Raises ConfigError for an overlap not below the size.
    """

    name = "token"
    gaps: Gaps = "whitespace"

    def __init__(self, tokenizer: Tokenizer, size: int = 200, overlap: int = 0, max_characters: int = 0) -> None:
        self._tokenizer = tokenizer
        self._limits = Limits(size, overlap, max_characters)
        self.fingerprint = self._limits.fingerprint(self.name, tokenizer, version=1)

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its chunks, in order."""
        return cut_documents(documents, self._tokenizer, self._limits, _cut)


def _cut(document: Document, view: TokenView) -> Iterator[Span]:
    return pack(view, 0, len(document.text))
