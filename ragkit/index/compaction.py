"""Merging vector segments: few files to search, and no dead rows kept for ever."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ragkit.index.segments import Segment, SegmentWriter
from ragkit.protocols import Rows

MERGE_ABOVE = 8
"""Segments of an index; one more and all are merged."""

DEAD_SHARE = 0.3
"""Share of dead rows above which segments are rewritten without them."""

_BLOCK = 8192


def worth_merging(segments: int, rows: int, dead: int) -> bool:
    """Return whether the segments should be merged into one."""
    return segments > MERGE_ABOVE or dead > DEAD_SHARE * rows


def merge_segments(path: Path, segments: Sequence[Segment], dead: Rows, dimension: int) -> tuple[int, str] | None:
    """Write the live rows of `segments` to `path`; return (count, checksum), or None if no row is live.

    `segments` must be given in the order of their rows. Vectors are copied in blocks: memory does not grow with them.
    """
    writer = SegmentWriter(path, dimension)
    try:
        for segment in segments:
            live = ~np.isin(segment.rows, dead, assume_unique=True)
            for at in range(0, len(segment.rows), _BLOCK):
                part = slice(at, at + _BLOCK)
                keep = live[part]
                if keep.any():
                    writer.append(segment.rows[part][keep], segment.vectors[part][keep])
        if not writer.count:
            writer.abandon()
            return None
        return writer.count, writer.finish()
    except BaseException:
        writer.abandon()
        raise
