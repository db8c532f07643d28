"""The folder of a chunk store: one folder per model space, one writer at a time.

FOLDER/SPACE/store.lock      held by the process that writes; the operating system frees it even after a kill
FOLDER/SPACE/catalog.sqlite  metadata of the variants
FOLDER/SPACE/blobs/          their keys and values
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ragkit.cachecraft.catalog import Catalog, space_of
from ragkit.cachecraft.tiers.counts import REFUSALS, Counts
from ragkit.cachecraft.tiers.disk import DiskTier
from ragkit.errors import IndexLockedError, RagkitWarning, StorageError
from ragkit.identity import content_hash

_CATALOG = "catalog.sqlite"
_INSIDE = (_CATALOG, "blobs", "store.lock", "gate.json")
"""What makes a folder that of a model space; any may be missing."""


@dataclass(frozen=True, slots=True)
class Home:
    """An open folder: its disk tier and its catalog, `read_only` where another process is the writer."""

    root: Path
    disk: DiskTier
    catalog: Catalog
    read_only: bool
    lock: FileLock | None
    failures: Mapping[str, int]

    @property
    def overhead(self) -> int:
        """Bytes of the catalog and of the blobs' headers."""
        return self.catalog.bytes + self.disk.overhead

    def check_writer(self) -> None:
        """Raise IndexLockedError where another process writes the folder, StorageError where it cannot be written."""
        if self.failures:
            raise StorageError(
                f"The chunk store {self.root} cannot be written: {', '.join(self.failures)}.",
                hint="Name a folder that can be written: kv_reuse: {store: ...}.",
            )
        if self.read_only:
            raise IndexLockedError(
                f"Another process writes the chunk store {self.root}; nothing was done.",
                hint="Run the command again when the other process has ended.",
            )

    def warn_reader(self) -> None:
        """Warn that what is new is kept in memory only, and why."""
        failed = ", ".join(self.failures)
        by_another = f"Another process writes {self.root}"
        why = f"The chunk store {self.root} cannot be written ({failed})" if failed else by_another
        warnings.warn(f"{why}: what is new is kept in memory only.", RagkitWarning, stacklevel=3)

    def close(self) -> None:
        """Close the files and let another process write; warn of what the disk refused."""
        refused = [f"{reason}, {times} times" for reason, times in self.disk.failures.items() if reason in REFUSALS]
        if refused:
            warnings.warn(
                f"The chunk store {self.root} could not read or keep everything: {'; '.join(refused)}.",
                RagkitWarning,
                stacklevel=2,
            )
        self.catalog.close()
        self.disk.close()
        if self.lock is not None:
            self.lock.release()


def space_folder(folder: Path, space_key: str) -> Path:
    """Return the folder of a model space in a store's `folder`."""
    plain = re.fullmatch(r"[0-9a-f]{8,64}", space_key)
    return folder / (space_key if plain else content_hash("space", key=space_key))


def open_home(
    folder: Path,
    space_key: str,
    disk_bytes: int,
    *,
    sync: bool,
    read_only: bool = False,
    evicted: Callable[[Sequence[str]], None] = lambda _: None,
) -> Home:
    """Return the folder of a model space, made if it is not there; as its reader where another process writes it.

    With `read_only` it is its reader in any case, and nothing is changed. `evicted` hears of what the disk pushed out.
    """
    root = space_folder(folder, space_key)
    counts = Counts()
    lock = None if read_only else _locked(root, counts)
    read_only = lock is None
    disk = DiskTier(root, disk_bytes, scope=space_key, sync=sync, read_only=read_only, evicted=evicted)
    return Home(
        root, disk, Catalog(root / _CATALOG, space_key, read_only=read_only), read_only, lock, counts.snapshot()
    )


def _locked(root: Path, counts: Counts) -> FileLock | None:
    lock = FileLock(root / "store.lock")
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        counts.add(f"folder: {type(error).__name__}")
        return None
    return lock


def stored_spaces(folder: Path) -> dict[str, Path]:
    """Return the model spaces that a store's `folder` holds, by key, for listing and clearing.

    One whose catalog cannot be read is known by the name of its folder, which is its key but for odd ones.
    """
    inside = [path for path in sorted(folder.glob("*")) if any(os.path.lexists(path / name) for name in _INSIDE)]
    return {space_of(path / _CATALOG) or path.name: path for path in inside}
