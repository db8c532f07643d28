"""The total order of hits: score from high to low, then chunk id, then source."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ragkit.index.records import StoredChunk
from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Rows
from ragkit.retrievers.store import Found
from ragkit.schema import Hit

_CHUNKS_AT_ONCE = 1000


def ordered(snapshot: Snapshot, found: Found, k: int) -> Found:
    """Return the first `k` of `found` in the total order; only chunks whose scores tie are looked up."""
    rows, scores = found
    order = np.lexsort((rows, -scores))
    rows, scores = rows[order], scores[order]
    bounds = np.append(np.flatnonzero(np.diff(scores, prepend=np.inf)), len(scores))
    for start, end in pairwise(bounds.tolist()):
        if start >= k:
            break
        if end - start > 1:
            tied = heapq.nsmallest(min(k, end) - start, _chunks(snapshot, rows[start:end]), key=_tie_break)
            rows[start : start + len(tied)] = [chunk.row for chunk in tied]
    return rows[:k], scores[:k]


def hits(snapshot: Snapshot, found: Found, k: int) -> list[Hit]:
    """Return the first `k` of `found` as hits; rows unknown to the snapshot are left out."""
    rows, scores = ordered(snapshot, found, k)
    score_of = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    chunks = snapshot.chunks(rows.tolist())
    return [chunk.hit(rank, score_of[chunk.row]) for rank, chunk in enumerate(chunks, start=1)]


def _tie_break(chunk: StoredChunk) -> tuple[str, str, int]:
    return chunk.chunk_id, chunk.source, chunk.row


def _chunks(snapshot: Snapshot, rows: Rows) -> Iterator[StoredChunk]:
    for at in range(0, len(rows), _CHUNKS_AT_ONCE):
        yield from snapshot.chunks(rows[at : at + _CHUNKS_AT_ONCE].tolist())
