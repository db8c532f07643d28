"""What a chunk store holds and how it has done since it was opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TierStats:
    """One tier: bytes held, bytes it may hold, blobs."""

    name: str
    used: int
    capacity: int
    blobs: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """The state of a chunk store; counts are of this process, sizes of the moment."""

    variants: int
    chunks: int
    """Distinct chunks among the variants."""
    tiers: tuple[TierStats, ...]
    """The fastest first; a blob may lie in several."""
    loads: Mapping[str, int] = field(default_factory=dict)
    """Blobs loaded, by the tier that had them, and "missing"."""
    reused: int = 0
    """Pieces of prompts that were served from the store."""
    misses: Mapping[str, int] = field(default_factory=dict)
    """Pieces that were not, by reason."""
    evictions: Mapping[str, int] = field(default_factory=dict)
    """What went for something better: "index", "memory", "disk"."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """What went wrong and became a miss or was not kept, by tier and reason."""
    queued_bytes: int = 0
    """Bytes on their way to slower tiers."""
    overhead_bytes: int = 0
    """Bytes that are not keys or values: catalog, headers, token ids and statistics."""
    read_only: bool = False
    """Another process writes the folder: this one reads it and keeps what is new in memory only."""

    @property
    def hit_share(self) -> float:
        """Served pieces per piece that could have been, 0 to 1."""
        asked = self.reused + sum(self.misses.values())
        return self.reused / asked if asked else 0.0
