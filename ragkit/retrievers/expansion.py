"""Neighbour expansion: hits widened to the text around them, merged where they meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragkit.index.snapshot import Snapshot
from ragkit.schema import Chunk, Hit


@dataclass(slots=True)
class _Window:
    """A run of chunks of one document, and the best hit in it."""

    hit: Hit
    first_row: int
    last_row: int
    start: int
    end: int
    page: int | None
    line: int | None


def expand_hits(snapshot: Snapshot, hits: Sequence[Hit], before: int = 1, after: int = 1) -> list[Hit]:
    """Return `hits` with their text widened by up to `before` and `after` neighbouring chunks of the same document.

    A widened text is the document's own, gaps between chunks included, so the span contract holds for it. Windows of
    one document that overlap become one hit in the place of the best of them, whose id, score and metadata it keeps;
    page and line are those of the window's start, ranks are counted anew.
    """
    by_document: dict[tuple[str, str], list[_Window]] = {}
    for hit in hits:
        window = _window(snapshot, hit, max(0, before), max(0, after))
        by_document.setdefault((hit.source, hit.chunk.doc_id), []).append(window)
    merged = [window for windows in by_document.values() for window in _merged(windows)]
    merged.sort(key=lambda window: window.hit.rank)
    return [_widened(snapshot, window, rank) for rank, window in enumerate(merged, start=1)]


def _window(snapshot: Snapshot, hit: Hit, before: int, after: int) -> _Window:
    around = snapshot.neighbours(hit.row, before, after)
    if not around:
        return _Window(hit, hit.row, hit.row, hit.chunk.start, hit.chunk.end, hit.page, hit.line)
    first, last = around[0], around[-1]
    return _Window(hit, first.row, last.row, first.chunk.start, last.chunk.end, first.page, first.line)


def _merged(windows: list[_Window]) -> list[_Window]:
    """Return the windows of one document with those that overlap joined."""
    windows.sort(key=lambda window: (window.start, window.end))
    joined = windows[:1]
    for window in windows[1:]:
        last = joined[-1]
        if window.start >= last.end:
            joined.append(window)
            continue
        if window.end > last.end:
            last.last_row, last.end = window.last_row, window.end
        if window.hit.rank < last.hit.rank:
            last.hit = window.hit
    return joined


def _widened(snapshot: Snapshot, window: _Window, rank: int) -> Hit:
    hit = window.hit
    if hit.row < 0 or (window.start, window.end) == (hit.chunk.start, hit.chunk.end):
        return replace(hit, rank=rank)
    text = snapshot.text_between(window.first_row, window.last_row)
    chunk = Chunk(hit.chunk.doc_id, window.start, window.start + len(text), text, metadata=hit.chunk.metadata)
    return replace(hit, rank=rank, chunk=chunk, page=window.page, line=window.line)
