"""What lies in a store's folder, for any model, without loading one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ragkit.cachecraft.gate_file import GateFile, GateState
from ragkit.cachecraft.home import stored_spaces
from ragkit.cachecraft.settings import open_store, store_folder
from ragkit.cachecraft.stats import StoreStats
from ragkit.cachecraft.watch import live_refusal
from ragkit.config import KvReuseConfig
from ragkit.errors import StorageError

_STAYING = {
    "remote": "the remote store did not remove what it holds of",
    "disk": "files that cannot be removed stay in",
    "catalog": "the catalog cannot be emptied in",
}


@dataclass(frozen=True, slots=True)
class SpaceStats:
    """One model space: its key, its folder, what its store holds, and what the quality gate found."""

    space: str
    folder: Path
    stats: StoreStats
    gate: GateState

    @property
    def switched_off(self) -> list[str]:
        """Why reuse was switched off by sampled requests, one reason for each policy and budget that was."""
        return [live_refusal(live, self.gate.model) for live in (self.gate.sampled or {}).values() if live.off]


def space_stats(config: KvReuseConfig) -> list[SpaceStats]:
    """Return what the configured store holds, one entry for each model space, by key; nothing is changed."""
    found = []
    for space, folder in sorted(stored_spaces(store_folder(config)).items()):
        with open_store(config, space, read_only=True) as store:
            found.append(SpaceStats(space, folder, store.stats(), GateFile(folder).read()))
    return found


def clear_spaces(config: KvReuseConfig) -> tuple[int, int]:
    """Empty the configured store for all models, the gate's results included; return variants and bytes removed.

    The configured remote store is emptied too, whichever process put there what it holds of these models.

    Raises IndexLockedError where another process writes one of them, StorageError where one cannot be written; it and
    those behind it are left as they are. Raises StorageError, after all the rest is gone, where something stays.
    """
    variants = size = 0
    staying: list[str] = []
    for found in space_stats(config):
        with open_store(config, found.space) as store:
            store.check_writer()
            staying += [f"{_STAYING[place]} {found.folder.name}" for place in store.clear()]
        GateFile(found.folder).clear()
        disk = [one for one in found.stats.tiers if one.name == "disk"]
        variants += max([found.stats.variants, *(one.blobs for one in disk)])
        size += sum(one.used for one in disk)
    if staying:
        raise StorageError(
            f"{variants} variants were removed, {size / 1e6:,.0f} MB, but not everything: {'; '.join(staying)}.",
            hint="Run the command again when that is mended; what is gone stays gone.",
        )
    return variants, size
