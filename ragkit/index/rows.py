"""A document and its chunks as ledger rows; the text between chunks is kept, so that the whole text can be rebuilt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ragkit.errors import ContractError
from ragkit.identity import content_hash
from ragkit.schema import Chunk, Document, Metadata

Row = tuple[Any, ...]


def document_content(document: Document) -> str:
    """Return the hash of everything of `document` that decides what the index holds of it."""
    return content_hash(
        "content",
        text=document.text_hash,
        metadata=document.metadata,
        blocks=[[block.kind.value, block.start, block.end, block.level] for block in document.blocks],
        pages=document.pages,
    )


def document_row(document: Document, chunks: Sequence[Chunk], doc_row: int) -> Row:
    """Return the row of the table `documents`."""
    metadata = _metadata(document.metadata)
    tail = document.text[chunks[-1].end if chunks else 0 :]
    return (
        doc_row,
        document.source,
        document.doc_id,
        document_content(document),
        document.text_hash,
        metadata,
        tail,
        len(chunks),
    )


def chunk_rows(
    document: Document, chunks: Iterable[Chunk], doc_row: int, first_row: int, chunker_fingerprint: str
) -> list[Row]:
    """Return the rows of the table `chunks`, numbered from `first_row`.

    Raises ContractError at the first chunk that breaks the span contract or the order.
    """
    rows: list[Row] = []
    start = end = line_break = 0
    line = 1
    for ordinal, chunk in enumerate(chunks):
        _check_span(document, chunk, start, end)
        line += document.text.count("\n", line_break, chunk.start)
        line_break = chunk.start
        chunk_id = content_hash(
            "chunk",
            document=document.doc_id,
            text=document.text_hash,
            chunker=chunker_fingerprint,
            start=chunk.start,
            end=chunk.end,
        )
        rows.append(
            (
                first_row + ordinal,
                doc_row,
                ordinal,
                chunk.start,
                chunk.end,
                chunk_id,
                chunk.text,
                None if chunk.index_text == chunk.text else chunk.index_text,
                document.text[end : chunk.start],
                document.page_at(chunk.start),
                None if document.pages else line,
                _metadata(chunk.metadata),
            )
        )
        start, end = chunk.start, chunk.end
    return rows


def _metadata(metadata: Metadata) -> str:
    """Return metadata as JSON text; not escaped, because SQLite's JSON functions do not find an escaped key."""
    return json.dumps(dict(metadata), ensure_ascii=False)


def _check_span(document: Document, chunk: Chunk, start: int, end: int) -> None:
    in_order = start <= chunk.start < chunk.end and chunk.end >= end
    if not in_order or document.text[chunk.start : chunk.end] != chunk.text:
        raise ContractError(
            f"{document.source}: the chunk [{chunk.start}, {chunk.end}) breaks the span contract.",
            hint="Check the chunker with ragkit.testing.check_chunker.",
        )


def rebuild_text(chunks: Iterable[tuple[int, str, str]], tail: str) -> str:
    """Return a document's whole text from (start, lead, text) of its chunks, in order, and what follows the last."""
    pieces: list[str] = []
    end = 0
    for start, lead, text in chunks:
        pieces += (lead, text[max(0, end - start) :])
        end = max(end, start + len(text))
    return "".join((*pieces, tail))
