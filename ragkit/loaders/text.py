"""Plain text: the file's characters as they are; paragraphs, delimited tables and underlined headings as blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ragkit.config import LoadingConfig
from ragkit.loaders.blocks import paragraphs, trimmed
from ragkit.loaders.files import read_text, source_of
from ragkit.schema import Block, BlockKind, Document

_TABLES = (".csv", ".tsv")
# reStructuredText: a title line, then at least three of one punctuation mark on a line of their own.
_UNDERLINED = re.compile(r"[^\s].*(?:\r\n?|\n)([=\-~^\"'`#*+:.<>_])\1{2,}[ \t]*\Z")


class TextLoader:
    """Reads plain text in any encoding; also every file of unknown suffix whose content is text."""

    suffixes = (
        *(".txt", ".text", ".rst", ".rest", ".log", ".csv", ".tsv", ".tex", ".bib", ".org", ".adoc", ".asciidoc"),
        *(".srt", ".vtt", ".sub", ".textile", ".mediawiki", ".wiki", ".po", ".diff", ".patch", ".me", ".nfo"),
    )
    in_process = True
    """Decoding is linear and cannot hang, so it needs no worker process."""

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield one document; its text is the decoded file, verbatim but for a byte order mark."""
        decoded = read_text(path, self._caps)
        blocks = tuple(_blocks(decoded.text, path.suffix.lower()))
        yield Document(decoded.text, source_of(path), metadata=decoded.metadata, blocks=blocks)


def _blocks(text: str, suffix: str) -> Iterator[Block]:
    if suffix in _TABLES:
        yield Block(BlockKind.TABLE, *trimmed(text, 0, len(text)))
        return
    marks: list[str] = []
    for start, end in paragraphs(text):
        match = _UNDERLINED.match(text, start, end) if suffix in (".rst", ".rest") and end - start < 500 else None
        if match is None:
            yield Block(BlockKind.PARAGRAPH, start, end)
            continue
        # The order of first use gives the levels (docutils' rule).
        if match[1] not in marks:
            marks.append(match[1])
        yield Block(BlockKind.HEADING, start, end, marks.index(match[1]) + 1)
