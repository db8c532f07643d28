"""What the ledger stores about a chunk, as read back."""

from __future__ import annotations

from dataclasses import dataclass

from ragkit.schema import Chunk, Hit


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk of one generation of an index; its metadata is the document's overlaid with the chunk's own."""

    row: int
    chunk_id: str
    chunk: Chunk
    source: str
    page: int | None
    line: int | None

    def hit(self, rank: int, score: float) -> Hit:
        """Return this chunk as the hit of `rank` with `score`."""
        return Hit(rank, score, self.chunk_id, self.chunk, self.source, self.page, self.line, self.row)
