"""Which parts of the documents a report must hold: those around evidence and hits, not whole books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ragkit.eval.results import Span

AROUND_EVIDENCE = 800
AROUND_HITS = 100
"""Characters of context on either side; what is shown beside evidence must make sense of it."""

Pieces = list[tuple[int, str]]
"""(start, text) in order, apart from each other."""


def united(windows: Iterable[Span], length: int) -> list[Span]:
    """Return the union of `windows` within a text of `length` characters, in order and apart from each other.

    >>> united([(5, 9), (-2, 3), (8, 40)], 20)
    [(0, 3), (5, 20)]
    """
    merged: list[Span] = []
    for start, end in sorted((max(0, start), min(length, end)) for start, end in windows):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def pieces(text: str, windows: Iterable[Span]) -> Pieces:
    """Return what of `text` lies in the windows."""
    return [(start, text[start:end]) for start, end in united(windows, len(text))]


def within(spans: Iterable[Span], kept: Pieces) -> list[Span]:
    """Return the spans that touch a piece: those of chunks whose boundaries can be seen."""
    ranges = [(start, start + len(text)) for start, text in kept]
    found: list[Span] = []
    place = 0
    for start, end in sorted(spans):
        while place < len(ranges) and ranges[place][1] < start:
            place += 1
        if place < len(ranges) and end >= ranges[place][0]:
            found.append((start, end))
    return found


def excerpts(documents: Mapping[str, str], windows: Mapping[str, list[Span]]) -> dict[str, Pieces]:
    """Return the pieces of every document that has windows, empty where its text is not in the records."""
    return {name: pieces(documents.get(name, ""), spans) for name, spans in windows.items()}
