"""What a selector may look up about the hits it was given (protocols.Corpus), on one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Vectors
from ragkit.schema import Hit


@dataclass(frozen=True, slots=True)
class SnapshotCorpus:
    """Vectors and neighbours of chunks of one generation."""

    snapshot: Snapshot

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """Return the stored vector of each chunk row, in order."""
        return self.snapshot.vectors(rows)

    def neighbours(self, row: int, before: int, after: int) -> list[Hit]:
        """Return the chunks around `row` in its document, itself included, in document order, with score 0."""
        found = self.snapshot.neighbours(row, before, after)
        return [stored.hit(rank, 0.0) for rank, stored in enumerate(found, start=1)]
