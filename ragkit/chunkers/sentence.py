"""Whole sentences, packed up to the limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ragkit.chunkers.packing import Limits, TokenView, pack
from ragkit.chunkers.sentences import sentence_starts
from ragkit.chunkers.spans import Span
from ragkit.chunkers.streaming import cut_documents
from ragkit.protocols import Gaps, Tokenizer
from ragkit.schema import Chunked, Document


class SentenceChunker:
    """Packs whole sentences into chunks of at most `size` tokens; neighbours share whole sentences up to `overlap`.

    A sentence that is too long is cut at a clause, else between words. `max_characters` caps a chunk too (0: 12 a
    token). Raises ConfigError for an overlap not below the size.
    """

    name = "sentence"
    gaps: Gaps = "whitespace"

    def __init__(self, tokenizer: Tokenizer, size: int = 200, overlap: int = 0, max_characters: int = 0) -> None:
        self._tokenizer = tokenizer
        self._limits = Limits(size, overlap, max_characters)
        self.fingerprint = self._limits.fingerprint(self.name, tokenizer, version=1)

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its chunks, in order."""
        return cut_documents(documents, self._tokenizer, self._limits, _cut)


def _cut(document: Document, view: TokenView) -> Iterator[Span]:
    return pack(view, 0, len(document.text), sentence_starts(document.text), clauses=True)
