"""From the `kv_reuse` section of a configuration to what carries it out."""

from __future__ import annotations

from pathlib import Path

from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers.buffers import Allocate
from ragkit.cachecraft.tiers.tier import BlobTier
from ragkit.config import KvReuseConfig
from ragkit.identity import content_hash
from ragkit.models.hub import cache_root


def repair_of(config: KvReuseConfig) -> Repair:
    """Return the budget of repairs; the policy `none` has none."""
    share = 0.0 if config.policy == "none" else config.share
    return Repair(share=share, alpha=config.alpha, run_length=config.run_length)


def store_folder(config: KvReuseConfig) -> Path:
    """Return the folder of the store: the configured one, else one below ragkit's cache folder."""
    return Path(config.store).expanduser() if config.store is not None else cache_root() / "chunk-kv"


def open_store(
    config: KvReuseConfig, space_key: str, *, allocate: Allocate | None = None, read_only: bool = False
) -> ChunkStore:
    """Return the store of a model space, as configured; close it in the end.

    `allocate` gives the memory that blobs lie in, page-locked for a GPU; `read_only` changes nothing in the folder.
    """
    return ChunkStore(
        space_key,
        store_folder(config),
        config.memory_bytes,
        config.disk_bytes,
        _remote(config, space_key),
        admission=config.admission,
        allocate=allocate,
        read_only=read_only,
    )


def reply_fingerprint(model: str, config: KvReuseConfig) -> str:
    """Return the fingerprint of a model that answers through chunk reuse: its replies are not the plain model's.

    They differ below a share of 1, and at 1 where the tokenizer merges over the borders of chunks.
    """
    return content_hash("chunk reuse", model=model, order=config.order, **_budget(config))


def budget_key(config: KvReuseConfig) -> str:
    """Return what identifies policy and budget, which a result of the quality gate belongs to."""
    return content_hash("repair budget", **_budget(config))


def budget_text(config: KvReuseConfig) -> str:
    """Return policy and budget for people.

    >>> budget_text(KvReuseConfig())
    'query_probe, share 0.3, runs of 1'
    """
    much = f"alpha {config.alpha:g}" if config.alpha is not None else f"share {config.share:g}"
    return f"{config.policy}, {much}, runs of {config.run_length}"


def _budget(config: KvReuseConfig) -> dict[str, str | float | int | None]:
    return {
        "policy": config.policy,
        "share": None if config.alpha is not None else config.share,
        "alpha": config.alpha,
        "run_length": config.run_length,
    }


def _remote(config: KvReuseConfig, space_key: str) -> BlobTier | None:
    if config.remote is None:
        return None
    from ragkit.cachecraft.tiers.remote import RemoteTier

    return RemoteTier(
        config.remote,
        config.remote_bytes,
        scope=space_key,
        seconds=config.remote_seconds,
        rate=config.remote_rate,
    )
