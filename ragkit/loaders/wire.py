"""Documents as JSON between the parsing process and this one: nothing that arrives is trusted, nothing is unpickled."""

from __future__ import annotations

import json
from typing import Any

from ragkit.loaders.metadata import scalars
from ragkit.schema import Block, BlockKind, Document


def encoded(document: Document) -> bytes:
    """Return `document` as UTF-8 JSON."""
    fields = {
        "text": document.text,
        "doc_id": document.doc_id,
        "metadata": dict(document.metadata),
        "blocks": [[block.kind.value, block.start, block.end, block.level] for block in document.blocks],
        "pages": document.pages,
    }
    return json.dumps(fields, ensure_ascii=False).encode("utf-8")


def decoded(fields: dict[str, Any], source: str) -> Document:
    """Return the document that `fields` describe; raise ValueError unless every type and every offset is right."""
    text, doc_id, metadata = fields["text"], fields["doc_id"], fields["metadata"]
    if not (isinstance(text, str) and isinstance(doc_id, str) and isinstance(metadata, dict)):
        raise ValueError("a document of the parsing process has fields of wrong types")
    blocks = tuple(Block(BlockKind(kind), start, end, level) for kind, start, end, level in fields["blocks"])
    pages = tuple(fields["pages"])
    edges = [0, *(edge for block in blocks for edge in (block.start, block.end)), len(text)]
    numbers = [*edges, *pages, *(block.level for block in blocks)]
    if not all(type(number) is int for number in numbers):
        raise ValueError("a document of the parsing process has an offset that is no whole number")
    if edges != sorted(edges) or list(pages) != sorted(pages) or any(not 0 <= page <= len(text) for page in pages):
        raise ValueError("a document of the parsing process has offsets outside its text or out of order")
    return Document(text, source, doc_id=doc_id, metadata=scalars(metadata), blocks=blocks, pages=pages)
