"""The values that flow through a pipeline: documents, chunks, hits, selections, answers.

All are frozen and slotted. Offsets are Unicode code points into `Document.text`, half-open `[start, end)`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from ragkit.errors import ContractError
from ragkit.identity import content_hash

MetadataValue = str | int | float | bool | None
Metadata = Mapping[str, MetadataValue]

NO_METADATA: Metadata = MappingProxyType({})


class BlockKind(StrEnum):
    """What a block of a document is; a structure-aware chunker keeps tables and code whole where they fit."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """One structural unit of a document, `[start, end)` of its text; a heading has a level, 1 being the top."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its source.

    `doc_id` is the hash of the text unless the source gives one (a JSONL record). `blocks` are in order and do not
    overlap. `pages` holds the start offset of every page, empty where the format has no pages.

    Raises ContractError if the text holds a lone surrogate, which no encoding can store.
    """

    text: str
    source: str
    doc_id: str = ""
    metadata: Metadata = field(default_factory=lambda: NO_METADATA)
    blocks: tuple[Block, ...] = ()
    pages: tuple[int, ...] = ()
    text_hash: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        try:
            text_hash = content_hash("document", text=self.text)
        except UnicodeEncodeError as error:
            raise ContractError(
                f"{self.source}: character {error.start} is a lone surrogate, which is not valid Unicode text.",
                hint="Decode the source with the right encoding, or replace such characters.",
            ) from None
        object.__setattr__(self, "text_hash", text_hash)
        if not self.doc_id:
            object.__setattr__(self, "doc_id", text_hash)

    def page_at(self, offset: int) -> int | None:
        """Return the number of the page that holds `offset`, counted from 1, or None without pages."""
        return bisect_right(self.pages, offset) if self.pages else None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one document: `text == document.text[start:end]` always holds.

    `index_text` is what is embedded and searched; it equals `text` unless an enricher added context.
    """

    doc_id: str
    start: int
    end: int
    text: str
    index_text: str = ""
    metadata: Metadata = field(default_factory=lambda: NO_METADATA)

    def __post_init__(self) -> None:
        if not self.index_text:
            object.__setattr__(self, "index_text", self.text)

    @classmethod
    def of(cls, document: Document, start: int, end: int, metadata: Metadata = NO_METADATA) -> Chunk:
        """Return the chunk `[start, end)` of `document`: the only way chunkers should make one."""
        return cls(document.doc_id, start, end, document.text[start:end], metadata=metadata)


@dataclass(frozen=True, slots=True)
class Chunked:
    """A document together with its chunks, in order of their start; unpacks as that pair."""

    document: Document
    chunks: Sequence[Chunk]
    failure: str | None = None
    """Why the document could not be cut or enriched; such a document has no chunks and is not indexed."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the document, then its chunks, so that `for document, chunks in chunker.chunk(...)` reads well."""
        yield self.document
        yield self.chunks


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a retriever found; a higher `score` is better; `rank`, `page` and `line` count from 1."""

    rank: int
    score: float
    chunk_id: str
    chunk: Chunk
    source: str
    page: int | None
    line: int | None
    row: int = -1
    """The chunk's row in the ledger of its index, -1 outside an index."""
    part_of: str = ""
    """The id of the chunk that a selector narrowed to this span of it; empty for a chunk as it was indexed."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A hit that a selector left out, and why.

    `flags` say what is wrong with it ("distrusted", "contradiction", ...): a hit with flags must not be brought back.
    """

    hit: Hit
    reason: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """What a selector kept, best first, what it dropped and why, and the tokens of the kept texts.

    Where `ordered`, the hits stand in the order in which the prompt is to show them instead. `trace` says how the
    selector decided, in JSON's types; it takes no part in comparisons, as it may hold times.
    """

    hits: tuple[Hit, ...]
    dropped: tuple[Dropped, ...] = ()
    tokens: int = 0
    ordered: bool = False
    trace: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Citation:
    """A span of a source that supports the answer where it says `[marker]`."""

    marker: int
    doc_id: str
    source: str
    start: int
    end: int
    text: str
    page: int | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with the spans that support it.

    `text` carries the markers `[1]`, `[2]`, ...; `unsupported` lists the sentences for which no span was found. Where
    no sentence is supported, `closest` holds the sentences of the sources that come closest to the question.
    """

    question: str
    text: str
    model: str
    citations: tuple[Citation, ...] = ()
    unsupported: tuple[str, ...] = ()
    trace: Mapping[str, Any] = field(default_factory=dict)
    closest: tuple[Citation, ...] = ()
