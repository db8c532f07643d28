"""Block structure: where lines and paragraphs start, and a builder for formats whose text is assembled."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ragkit.schema import Block, BlockKind

_LINE_END = re.compile(r"\r\n?|\n")
# Atomic, so that CR LF is never tried as an end of line and an empty line.
_BLANK_LINES = re.compile(r"(?>\r\n?|\n)(?>[^\S\r\n]*(?>\r\n?|\n))+")


def line_starts(text: str) -> list[int]:
    r"""Return the start offset of every line, then the length; lines end with `\r\n`, `\n` or a lone `\r`.

    >>> line_starts("a\r\nb")
    [0, 3, 4]
    """
    starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    return [*starts, len(text)]


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return `[start, end)` without blank lines before and white space after; a blank span becomes empty.

    The indentation of the first line stays, so that an indented block of code remains one.
    """
    piece = text[start:end]
    first = len(piece) - len(piece.lstrip())
    left = max(piece.rfind("\n", 0, first), piece.rfind("\r", 0, first)) + 1
    return start + left, start + max(left, len(piece.rstrip()))


def paragraphs(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the spans between blank lines in `text[start:end]`, without blank lines around them."""
    stop = len(text) if end is None else end
    position = start
    for match in _BLANK_LINES.finditer(text, start, stop):
        left, right = trimmed(text, position, match.start())
        if left < right:
            yield left, right
        position = match.end()
    left, right = trimmed(text, position, stop)
    if left < right:
        yield left, right


class TextBuilder:
    """Assembles a text from blocks, one empty line between them, and knows where each block lies."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self.length = 0

    def add(self, kind: BlockKind, text: str, level: int = 0) -> None:
        """Append one block; one of white space only is left out. All line ends become LF, half surrogates U+FFFD."""
        clean = _LINE_END.sub("\n", text).strip("\n").rstrip()
        if not clean or clean.isspace():
            return
        clean = clean.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        start = self.length + 2 if self._parts else 0
        self._parts.append(clean)
        self.length = start + len(clean)
        self._blocks.append(Block(kind, start, self.length, level))

    def add_table(self, rows: Sequence[Sequence[str]]) -> None:
        """Append a table, one line per row, cells joined by " | ", columns without any text left out.

        A table of one column is the paragraphs in its cells.
        """
        filled = [row for row in rows if any(cell.strip() for cell in row)]
        columns = sorted({place for row in filled for place, cell in enumerate(row) if cell.strip()})
        if len(columns) == 1:
            for paragraph in (part for row in filled for part in "".join(row).split("\n\n")):
                self.add(BlockKind.PARAGRAPH, paragraph)
            return
        lines = (" | ".join(_one_line(row[place]) for place in columns if place < len(row)) for row in filled)
        self.add(BlockKind.TABLE, "\n".join(lines))

    def result(self) -> tuple[str, tuple[Block, ...]]:
        """Return the text and its blocks."""
        return "\n\n".join(self._parts), tuple(self._blocks)


def _one_line(cell: str) -> str:
    return " ".join(cell.split())
