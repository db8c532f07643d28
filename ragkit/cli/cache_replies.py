"""The JSON replies of `ragkit cache`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, FiniteFloat

from ragkit.cli.reply import Reply
from ragkit.cli.text import encodable

if TYPE_CHECKING:
    from ragkit.cachecraft.building import Built
    from ragkit.cachecraft.gate_file import GateResult
    from ragkit.cachecraft.spaces import SpaceStats


class GateReply(Reply):
    """How far answers through chunk reuse are from full recompute, on the gate's probe set."""

    policy: str
    share: FiniteFloat | None = Field(description="Share of reused tokens computed again; null where alpha decides")
    alpha: FiniteFloat | None
    run_length: int = Field(ge=1)
    divergence: FiniteFloat | None = Field(
        description="Mean KL of the first answer token, in nats; null where it is infinite", ge=0
    )
    worst: FiniteFloat | None = Field(description="The largest of them; null where it is infinite", ge=0)
    agreement: FiniteFloat = Field(
        description="Of the tokens of full recompute's answers, those that reuse finds most likely too", ge=0, le=1
    )
    questions: int = Field(ge=1)
    seconds: FiniteFloat = Field(ge=0)

    @classmethod
    def of(cls, result: GateResult) -> Self:
        """Return the reply that says what `result` says."""
        told = {name: getattr(result, name) for name in cls.model_fields}
        return cls(**told | {"divergence": _finite(result.divergence), "worst": _finite(result.worst)})


class CacheGateReply(Reply):
    """`ragkit cache gate`. Exit status 1 if reuse stays off."""

    model: str
    passed: bool = Field(description="Whether the model may reuse chunks with these settings")
    most_divergence: FiniteFloat = Field(description="Largest `divergence` that passes")
    least_agreement: FiniteFloat = Field(description="Least `agreement` that passes")
    result: GateReply


class CacheBuildReply(Reply):
    """`ragkit cache build --index DIR`."""

    model: str
    chunks: int = Field(description="Chunks of the index, equal texts counted once for each place", ge=0)
    built: int = Field(description="Computed and kept by this run", ge=0)
    present: int = Field(description="Were there already", ge=0)
    left_out: int = Field(description="For which there is no room, in the store or in the model's window", ge=0)
    bytes: int = Field(description="Keys and values that this run added", ge=0)
    seconds: FiniteFloat = Field(ge=0)

    @classmethod
    def of(cls, model: str, chunks: int, done: Built, seconds: float) -> Self:
        """Return the reply that says what was done."""
        counts = {name: getattr(done, name) for name in ("built", "present", "left_out", "bytes")}
        return cls(model=encodable(model), chunks=chunks, seconds=seconds, **counts)


class CacheTierReply(Reply):
    """One tier of a store."""

    name: str
    used: int = Field(description="Bytes held", ge=0)
    capacity: int = Field(description="Bytes it may hold", ge=0)
    blobs: int = Field(ge=0)


class CacheSpaceReply(Reply):
    """What is stored for one model in one number format."""

    model: str = Field(description="Its name, as the quality gate noted it; empty where the gate never ran")
    space: str = Field(description="The key that its blobs are kept under")
    folder: str
    variants: int = Field(description="Keys and values of a chunk behind one context", ge=0)
    chunks: int = Field(description="Different chunks among them", ge=0)
    overhead_bytes: int = Field(description="Catalog, headers, token ids, statistics", ge=0)
    tiers: list[CacheTierReply]
    failures: dict[str, int] = Field(description="What went wrong while it was read, by reason")
    gate: list[GateReply] = Field(description="Results of the quality gate, by policy and share")
    sampled: int = Field(description="Live requests that were computed in full besides", ge=0)
    parted: int = Field(description="Of them, those whose first token was another one", ge=0)
    sampled_divergence: FiniteFloat | None = Field(
        description="Their mean KL of the first token; null without any, or where it is infinite"
    )
    switched_off: list[str] = Field(description="Why reuse was switched off, for each policy and share sampled so")

    @classmethod
    def of(cls, found: SpaceStats) -> Self:
        """Return the reply that says what `found` says."""
        state, stats = found.gate, found.stats
        live = state.all_live
        return cls(
            model=encodable(state.model),
            space=found.space,
            folder=encodable(str(found.folder)),
            variants=stats.variants,
            chunks=stats.chunks,
            overhead_bytes=stats.overhead_bytes,
            tiers=[
                CacheTierReply(name=one.name, used=one.used, capacity=one.capacity, blobs=one.blobs)
                for one in stats.tiers
            ],
            failures=dict(stats.failures),
            gate=[GateReply.of(result) for result in (state.results or {}).values()],
            sampled=live.requests,
            parted=live.parted,
            sampled_divergence=_finite(live.mean) if live.requests else None,
            switched_off=[encodable(reason) for reason in found.switched_off],
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class CacheStatsReply(Reply):
    """`ragkit cache stats`."""

    folder: str
    spaces: list[CacheSpaceReply]

    @classmethod
    def of(cls, folder: str, spaces: Sequence[SpaceStats]) -> Self:
        """Return the reply that lists `spaces`."""
        return cls(folder=encodable(folder), spaces=[CacheSpaceReply.of(one) for one in spaces])


class CacheClearReply(Reply):
    """`ragkit cache clear`."""

    folder: str
    variants: int = Field(description="Variants that were removed", ge=0)
    bytes: int = Field(description="Bytes that they took on disk", ge=0)


COMMANDS: dict[str, type[Reply]] = {
    "cache build": CacheBuildReply,
    "cache stats": CacheStatsReply,
    "cache clear": CacheClearReply,
    "cache gate": CacheGateReply,
}
"""The replies by command, for `ragkit.cli.contract`."""
