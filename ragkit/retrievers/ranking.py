"""The total order of hits: score from high to low, then chunk id, then source."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Rows
from ragkit.retrievers.store import Found
from ragkit.schema import Hit

Key = tuple[str, str, int]


def ordered(snapshot: Snapshot, found: Found, k: int) -> Found:
    """Return the first `k` of `found` in the total order; only chunks whose scores tie are looked up."""
    rows, scores = found
    order = np.lexsort((rows, -scores))
    rows, scores = rows[order], scores[order]
    bounds = np.append(np.flatnonzero(np.diff(scores, prepend=np.inf)), len(scores))
    ties = [(start, end) for start, end in pairwise(bounds.tolist()) if start < k and end - start > 1]
    if ties:
        keys = _keys(snapshot, np.concatenate([rows[start:end] for start, end in ties]))
        for start, end in ties:
            rows[start:end] = sorted(rows[start:end].tolist(), key=keys.__getitem__)
    return rows[:k], scores[:k]


def hits(snapshot: Snapshot, found: Found, k: int) -> list[Hit]:
    """Return the first `k` of `found` as hits; rows unknown to the snapshot are left out."""
    rows, scores = ordered(snapshot, found, k)
    score_of = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    chunks = snapshot.chunks(rows.tolist())
    return [chunk.hit(rank, score_of[chunk.row]) for rank, chunk in enumerate(chunks, start=1)]


def _keys(snapshot: Snapshot, rows: Rows) -> dict[int, Key]:
    """Return what orders tied rows; a row unknown to the snapshot comes last."""
    unknown = ("~", "")  # chunk ids are hexadecimal
    known = snapshot.identities(rows.tolist())
    return {row: (*known.get(row, unknown), row) for row in rows.tolist()}
