"""Chunks that follow a document's structure: sections, then blocks, then sentences or lines, then words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from ragkit.chunkers.packing import Limits, TokenView, pack
from ragkit.chunkers.sections import Section, Tile, sections
from ragkit.chunkers.sentences import sentence_starts
from ragkit.chunkers.spans import Span, skip_space, trim_end
from ragkit.chunkers.streaming import cut_documents
from ragkit.protocols import Gaps, Tokenizer
from ragkit.schema import BlockKind, Chunked, Document, Metadata

_TINY_PART = 4
"""A section under a quarter of the limit is tiny: too little context to be found by, so it may join a tiny sibling."""


class RecursiveChunker:
    """Keeps sections, paragraphs, lists, tables and code blocks whole where they fit into `size` tokens.

    - A heading begins a chunk and stays with what follows; `metadata["heading"]` is the path of headings at the chunk's
      start, "A > B". Headings in a row belong together.
    - Neighbouring sections share a chunk if both fit and the second lies below the first (a subsection, or the first
      heading after an introduction). Across a heading of equal or higher level they do so only if both are tiny (under
      a quarter of the limit), because a chunk of twenty tokens is hard to find and a mixed one of fifty is not worse.
    - A block that does not fit is cut at its sentences (paragraphs) or lines (lists, tables, code), and such parts are
      packed with their neighbours; a sentence or line that does not fit, at a clause or between words.

    Without blocks, paragraphs are what blank lines separate. With an `overlap`, the parts of a section that had to be
    cut share whole sentences up to that many tokens; chunks that meet at a heading share nothing. `max_characters` caps
    a chunk too (0: 12 a token). Raises ConfigError for an overlap not below the size.
    """

    name = "recursive"
    gaps: Gaps = "whitespace"

    def __init__(self, tokenizer: Tokenizer, size: int = 200, overlap: int = 0, max_characters: int = 0) -> None:
        self._tokenizer = tokenizer
        self._limits = Limits(size, overlap, max_characters)
        self.fingerprint = self._limits.fingerprint(self.name, tokenizer, version=1)

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its chunks, in order."""
        return cut_documents(documents, self._tokenizer, self._limits, _cut)


class _Group(NamedTuple):
    """A chunk in the making; `level` is that of the highest heading in it, 0 without one."""

    start: int
    end: int
    level: int
    metadata: Metadata


def _cut(document: Document, view: TokenView) -> Iterator[Span]:
    group: _Group | None = None
    for section in sections(document):
        if group is not None and _joins(view, group, section):
            level = min(group.level, section.level) or section.level
            group = group._replace(end=section.end, level=level)
            continue
        if group is not None:
            yield from _finished(view, group)
        group = _Group(section.start, section.end, section.level, section.metadata)
        if not view.fits(group.start, group.end):
            resume = sentence_starts(view.text, group.start, group.end) if view.limits.overlap else None
            borders = _borders(view, section)
            parts = list(pack(view, group.start, group.end, borders, clauses=True, resume=resume))
            yield from (part._replace(metadata=group.metadata) for part in parts[:-1])
            group = group._replace(start=parts[-1].start if parts else group.end)
    if group is not None:
        yield from _finished(view, group)


def _joins(view: TokenView, group: _Group, section: Section) -> bool:
    """Return whether `section` may go on the chunk `group`; see the rules in RecursiveChunker."""
    if not view.fits(group.start, section.end):
        return False
    if section.level > group.level:
        return True
    tiny = view.size // _TINY_PART
    return view.count(group.start, group.end) < tiny and view.count(section.start, section.end) < tiny


def _finished(view: TokenView, group: _Group) -> Iterator[Span]:
    start = skip_space(view.text, group.start, group.end)
    if start < group.end:
        yield Span(start, trim_end(view.text, start, group.end), group.metadata)


def _borders(view: TokenView, section: Section) -> list[int]:
    """Return where a section that does not fit may be cut, ascending: never between a heading and what follows it."""
    borders: list[int] = []
    if section.tiles[0].kind is not BlockKind.HEADING:
        borders += _inner_borders(view, section.tiles[0], section.tiles[0].start)
    for before, tile in pairwise(section.tiles):
        after_heading = before.kind is BlockKind.HEADING
        if not after_heading:
            borders.append(tile.start)
        borders += _inner_borders(view, tile, section.start if after_heading else tile.start)
    return borders


def _inner_borders(view: TokenView, tile: Tile, origin: int) -> list[int]:
    """Return the sentence or line starts inside a tile that does not fit into one chunk with what it must stay with."""
    if tile.kind is BlockKind.HEADING or view.fits(origin, tile.end):
        return []
    if tile.kind is BlockKind.PARAGRAPH:
        return sentence_starts(view.text, tile.start, tile.end)
    return _line_starts(view.text, tile.start, tile.end)


def _line_starts(text: str, start: int, end: int) -> list[int]:
    starts = []
    at = text.find("\n", start, end) + 1
    while 0 < at < end:
        starts.append(at)
        at = text.find("\n", at, end) + 1
    return starts
