"""Blobs in a folder, one file each, bounded by bytes; the least recently used go first.

    FOLDER/blobs/3f/NAME.kv     a page of header, then the blob; 3f from a hash of the name
    FOLDER/temporary/           files being written; whatever is there when a writer opens the folder is removed

Capacity counts blob bytes; the header's 4 KiB of each come on top.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import xxhash

from ragkit.cachecraft.tiers import blob_file
from ragkit.cachecraft.tiers.blob_file import Reader
from ragkit.cachecraft.tiers.codec import PAGE, BrokenBlobError, fits
from ragkit.cachecraft.tiers.counts import Counts
from ragkit.cachecraft.tiers.tier import Blob

_SUFFIX = ".kv"
_LONGEST = 240
"""Bytes of a file name; the usual limit is 255."""


class DiskTier:
    """A BlobTier on a local disk. `scope` is the model space: the files of another one are misses.

    Another process may write the same folder only if this one is `read_only`: it then keeps nothing and deletes
    nothing. A folder that holds more than `capacity` when it is opened keeps it until `trim` or the first `put`.
    `sync` makes each blob survive a power cut; without it a cut may cost the last ones, never show wrong ones.
    """

    name = "disk"
    on = True

    def __init__(
        self,
        folder: Path,
        capacity: int,
        *,
        scope: str = "",
        threads: int = 4,
        direct: bool = True,
        sync: bool = False,
        read_only: bool = False,
        evicted: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        """Open or create the folder; where it cannot be, the tier is empty and keeps nothing.

        `evicted` hears of what was removed to make room, after it is gone.
        """
        self.capacity = capacity
        self.read_only = read_only
        self._scope, self._direct, self._sync = scope, direct, sync
        self._blobs, self._temporary = folder / "blobs", folder / "temporary"
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._used = 0
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._counts = Counts()
        self.evictions = 0
        """Blobs removed to make room."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ragkit-disk")
        self._evicted = evicted
        self.listed = False
        """Whether all that is there is known: the folder could be read when it was opened."""
        self._open()

    def _open(self) -> None:
        try:
            if not self.read_only:
                self._blobs.mkdir(parents=True, exist_ok=True)
                self._temporary.mkdir(exist_ok=True)
                for left in self._temporary.iterdir():
                    _remove_folder(left)
                    left.unlink(missing_ok=True)
            for _, name, size in sorted(self._found()):
                self._sizes[name] = size
                self._used += size
            self.listed = True
        except OSError as error:
            self._counts.error(error)

    def trim(self) -> None:
        """Remove the oldest blobs until the capacity is kept."""
        if not self.read_only:
            with self._lock:
                _, gone = self._make_room(0)
            self._evicted(gone)

    def _found(self) -> Iterator[tuple[int, str, int]]:
        """Yield when each blob was last written, its name and its bytes."""
        if not self._blobs.is_dir():
            return
        for shard in self._blobs.iterdir():
            if not shard.is_dir():
                continue
            with os.scandir(shard) as entries:
                for entry in entries:
                    if entry.name.endswith(_SUFFIX) and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        name = unquote(entry.name[: -len(_SUFFIX)])
                        yield status.st_mtime_ns, name, max(0, status.st_size - PAGE)

    @property
    def used(self) -> int:
        """Bytes of blobs it holds."""
        return self._used

    @property
    def overhead(self) -> int:
        """Bytes of headers."""
        return len(self._sizes) * PAGE

    @property
    def failures(self) -> Mapping[str, int]:
        """How often what went wrong: "checksum", "truncated", "another blob", "no space", "denied", ..."""
        return self._counts.snapshot()

    def exists(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs are there, without opening them."""
        with self._lock:
            return [name in self._sizes for name in names]

    def may_have(self, names: Sequence[str]) -> list[bool]:
        """Return which blobs are there, or all where the folder could not be listed."""
        return self.exists(names) if self.listed else [True] * len(names)

    def get(self, names: Sequence[str]) -> list[Blob | None]:
        """Return each blob, or None; a broken file is removed, one that cannot be read for now stays."""
        if len(names) < 2:
            return [self._get(name) for name in names]
        return list(self._threads.map(self._get, names))

    def _get(self, name: str) -> Blob | None:
        with self._lock:
            if name not in self._sizes:
                return None
            self._sizes.move_to_end(name)
        try:
            return blob_file.read(
                self._path(name),
                self._scope,
                name,
                limit=self.capacity,
                direct=self._direct,
            )
        except (BrokenBlobError, MemoryError, OSError) as error:
            self.failed(name, error)
            return None

    def readers(self, names: Sequence[str]) -> dict[str, Reader]:
        """Return for each blob that is there what reads it section by section; tell `failed` of what that raises."""
        found = {}
        for name in names:
            with self._lock:
                size = self._sizes.get(name)
                if size is None or size > self.capacity:
                    continue
                self._sizes.move_to_end(name)
            try:
                found[name] = Reader(self._path(name), self._scope, name, size, direct=self._direct)
            except MemoryError as error:
                self.failed(name, error)
        return found

    def failed(self, name: str, error: Exception) -> None:
        """Count what went wrong with a blob; a file that is broken, or is none, is removed.

        What the system refuses for the moment, such as one more open file, says nothing against the blob.
        """
        match error:
            case FileNotFoundError():
                self._counts.add("gone")
            case BrokenBlobError():
                self._counts.add(str(error))
            case MemoryError():
                self._counts.add("no memory")
            case TimeoutError():
                self._counts.add("time-out")
            case OSError():
                self._counts.error(error)
            case _:
                self._counts.add(type(error).__name__)
        if isinstance(error, (BrokenBlobError, FileNotFoundError, IsADirectoryError)) or (
            isinstance(error, OSError) and error.errno == errno.ELOOP
        ):
            self.delete([name])

    def put(self, blobs: Mapping[str, Blob]) -> set[str]:
        """Keep blobs and return the names of those kept; older ones go to make room."""
        if self.read_only:
            self._counts.add("read-only", len(blobs))
            return set()
        items = list(blobs.items())
        done = list(self._threads.map(self._put, items)) if len(items) > 1 else [self._put(item) for item in items]
        return {name for (name, _), kept in zip(items, done, strict=True) if kept}

    def _put(self, item: tuple[str, Blob]) -> bool:
        name, blob = item[0], np.ascontiguousarray(item[1])
        path = self._path(name)
        if not fits(self._scope, name) or len(path.name) > _LONGEST:
            self._counts.add("name too long")
            return False
        self.delete([name])
        with self._lock:
            fitting, gone = self._make_room(blob.nbytes)
            self._used += blob.nbytes if fitting else 0  # the room is taken while the file is being written
        self._evicted(gone)
        if not fitting:
            self._counts.add("too large")
            return False
        try:
            _remove_folder(path)
            path.parent.mkdir(exist_ok=True)
            temporary = self._temporary / f"{os.getpid()}-{next(self._numbers)}"
            blob_file.write(path, temporary, self._scope, name, blob, sync=self._sync)
        except OSError as error:
            with self._lock:
                self._used -= blob.nbytes
            self._counts.error(error)
            return False
        with self._lock:
            self._used -= self._sizes.pop(name, 0)  # another thread wrote the same name meanwhile
            self._sizes[name] = blob.nbytes
        return True

    def _make_room(self, size: int) -> tuple[bool, list[str]]:
        """Remove the oldest blobs until `size` more bytes fit; return whether they do, and what went.

        Called with the lock held; `evicted` is told without it, as who hears of it may hold another lock.
        """
        gone: list[str] = []
        if size > self.capacity:
            return False, gone
        while self._used + size > self.capacity and self._sizes:
            gone.append(next(iter(self._sizes)))
            self._remove(gone[-1])
            self.evictions += 1
        return self._used + size <= self.capacity, gone

    def delete(self, names: Sequence[str]) -> None:
        """Forget blobs and remove their files."""
        with self._lock:
            for name in names:
                self._remove(name)

    def _remove(self, name: str) -> None:
        size = self._sizes.pop(name, None)
        self._used -= size or 0
        if size is not None and not self.read_only:
            path = self._path(name)
            try:
                _remove_folder(path)
                path.unlink(missing_ok=True)
            except OSError as error:
                self._counts.error(error)

    def _path(self, name: str) -> Path:
        shard = f"{xxhash.xxh3_64_intdigest(name.encode()) & 0xFF:02x}"
        return self._blobs / shard / (quote(name, safe="") + _SUFFIX)

    def names(self) -> list[str]:
        """Return the names of all blobs, the least recently used first."""
        with self._lock:
            return list(self._sizes)

    def clear(self) -> bool:
        """Remove all blobs; return False where a file stays, or where it is not known what there is."""
        names = self.names()
        self.delete(names)
        return self.listed and not (self.read_only and names) and not any(map(os.path.lexists, map(self._path, names)))

    def close(self) -> None:
        """Wait for reads and writes under way and end the threads."""
        self._threads.shutdown()


def _remove_folder(path: Path) -> None:
    """Remove a folder that lies where a file belongs: nothing could be kept there, in this run or any later one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
