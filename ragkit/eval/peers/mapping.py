"""From a library's pieces to spans of the document: its own offsets where right, else found in order, else unmapped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Piece(NamedTuple):
    """A chunk as a library returns it; `start` is where it says that the chunk begins, None if it says nothing."""

    text: str
    start: int | None = None


class Mapped(NamedTuple):
    """Spans in document order without repeats, and the pieces that are not verbatim text of the document."""

    spans: list[tuple[int, int]]
    unmapped: list[str]


def map_pieces(text: str, pieces: Iterable[Piece], earliest: Callable[[int], int] = lambda end: end) -> Mapped:
    """Return the span of every piece, so that `text[start:end]` is the piece to the letter.

    A piece without right offsets is looked for from `earliest(end)` on, `end` being where the piece before it ended:
    with overlap that lies before `end`. It is never looked for before the start of the piece before it. The earliest
    place is taken if only white space lies between it and `end`. If visible text would be skipped, something was lost
    before, and the piece is mapped only if there is one place for it. Pieces of white space alone are left out, as
    ragkit's chunkers do.
    """
    found: set[tuple[int, int]] = set()
    unmapped: list[str] = []
    before, end = -1, 0
    for piece in pieces:
        if not piece.text or piece.text.isspace():
            continue
        start = _place(text, piece, max(before + 1, earliest(end)), end)
        if start < 0:
            unmapped.append(piece.text)
            continue
        before, end = start, start + len(piece.text)
        found.add((before, end))
    return Mapped(sorted(found), unmapped)


def _place(text: str, piece: Piece, lower: int, end: int) -> int:
    """Return where `piece` starts, -1 if that is nowhere at or after `lower`, or not certain."""
    if piece.start is not None and piece.start >= 0 and text.startswith(piece.text, piece.start):
        return piece.start
    first = text.find(piece.text, lower)
    if text[end:first].strip() and text.find(piece.text, first + 1) >= 0:
        return -1
    return first
