"""The structure of a document as a chunker needs it: sections that begin with headings, blocks that tile them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from ragkit.schema import NO_METADATA, Block, BlockKind, Document, Metadata

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")
_LONGEST_TITLE = 120
"""Characters of one heading that go into a path; what is longer is a paragraph marked up as a heading."""


class Tile(NamedTuple):
    """A block with the whitespace and marks behind it: tiles cover the document without gaps."""

    start: int
    end: int
    kind: BlockKind
    level: int


class Section(NamedTuple):
    """One or more headings in a row and all blocks up to the next heading.

    `level` is that of the first heading, 0 for what stands before any; `metadata` holds the path, "A > B".
    """

    tiles: list[Tile]
    level: int
    metadata: Metadata

    @property
    def start(self) -> int:
        """Where the first tile starts."""
        return self.tiles[0].start

    @property
    def end(self) -> int:
        """Where the last tile ends."""
        return self.tiles[-1].end


def sections(document: Document) -> Iterator[Section]:
    """Yield the sections of `document`, which cover its text; without blocks, paragraphs come from blank lines."""
    path: list[tuple[int, str]] = []
    gathered: list[Tile] = []
    metadata: Metadata = NO_METADATA
    for tile in _tiles(document):
        is_heading = tile.kind is BlockKind.HEADING
        if is_heading and gathered and gathered[-1].kind is not BlockKind.HEADING:
            yield Section(gathered, gathered[0].level, metadata)
            gathered = []
        if is_heading:
            path = [step for step in path if step[0] < tile.level]
            path.append((tile.level, _title(document.text[tile.start : tile.end])))
            metadata = {"heading": " > ".join(title for _, title in path if title)}
        gathered.append(tile)
    if gathered:
        yield Section(gathered, gathered[0].level, metadata)


def _tiles(document: Document) -> Iterator[Tile]:
    end = len(document.text)
    blocks = document.blocks or [Block(BlockKind.PARAGRAPH, start, 0) for start in _paragraph_starts(document.text)]
    starts = [0, *(block.start for block in blocks[1:]), end]
    for block, (first, last) in zip(blocks, pairwise(starts), strict=True):
        if first < last:
            level = max(block.level, 1) if block.kind is BlockKind.HEADING else 0
            yield Tile(first, last, block.kind, level)


def _paragraph_starts(text: str) -> list[int]:
    return [0, *(gap.end() for gap in _BLANK_LINE.finditer(text))]


def _title(text: str) -> str:
    """Return the first line of a heading without Markdown's or reStructuredText's marks."""
    lines = text.strip().splitlines()
    return lines[0].strip("#=~ \t")[:_LONGEST_TITLE] if lines else ""
