"""Markdown: the file's characters as they are, with its CommonMark blocks and GitHub tables marked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ragkit.config import LoadingConfig
from ragkit.loaders.blocks import line_starts, trimmed
from ragkit.loaders.files import read_text, source_of
from ragkit.loaders.metadata import scalars
from ragkit.schema import Block, BlockKind, Document, MetadataValue

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_KINDS = {
    "heading_open": BlockKind.HEADING,
    "paragraph_open": BlockKind.PARAGRAPH,
    "blockquote_open": BlockKind.PARAGRAPH,
    "html_block": BlockKind.PARAGRAPH,
    "bullet_list_open": BlockKind.LIST,
    "ordered_list_open": BlockKind.LIST,
    "table_open": BlockKind.TABLE,
    "fence": BlockKind.CODE,
    "code_block": BlockKind.CODE,
}
_MAX_FRONT_MATTER = 64 * 1024


class MarkdownLoader:
    """Reads Markdown; flat front matter becomes metadata and stays in the text, outside all blocks."""

    suffixes = (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd")

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield one document; its text is the decoded file, verbatim but for a byte order mark."""
        decoded = read_text(path, self._caps)
        metadata, body = front_matter(decoded.text)
        yield Document(
            decoded.text,
            source_of(path),
            metadata={**metadata, **decoded.metadata},
            blocks=tuple(markdown_blocks(decoded.text, body)),
        )


def markdown_blocks(text: str, start: int = 0) -> Iterator[Block]:
    """Yield the top-level blocks of `text[start:]` in order; offsets count from the start of `text`."""
    body = text[start:] if start else text
    lines = line_starts(body)
    for token in _parser().parse(body):
        kind = _KINDS.get(token.type)
        if token.level or kind is None or token.map is None:
            continue
        first, last = lines[token.map[0]], lines[min(token.map[1], len(lines) - 1)]
        left, right = trimmed(text, start + first, start + last)
        if left < right:
            yield Block(kind, left, right, int(token.tag[1]) if kind is BlockKind.HEADING else 0)


def front_matter(text: str) -> tuple[dict[str, MetadataValue], int]:
    """Return the scalars of YAML front matter and the offset where the body starts; ({}, 0) where there is none."""
    head = text[:_MAX_FRONT_MATTER]
    lines = line_starts(head)
    if len(lines) < 3 or head[: lines[1]].rstrip() != "---":
        return {}, 0
    for start, end in pairwise(lines[1:]):
        if head[start:end].rstrip() in ("---", "..."):
            break
    else:
        return {}, 0
    try:
        content = yaml.safe_load(head[lines[1] : start])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, 0
    return (scalars(content), end) if isinstance(content, dict) else ({}, 0)


@cache
def _parser() -> MarkdownIt:
    """Return a parser of block structure only; inline markup stays text, so parsing it would be wasted time."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser
