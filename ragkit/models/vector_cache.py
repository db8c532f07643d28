"""Embeddings kept on disk between runs: one SQLite file per embedder, keyed by the content that was embedded.

A cache never fails and never lies: a damaged file is replaced, a damaged row is a miss, a full disk switches it off
with a warning. Many processes may use one file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import filelock
import numpy as np
from numpy.typing import NDArray

from ragkit.errors import RagkitWarning
from ragkit.models.hub import cache_root

_Result = TypeVar("_Result")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, checksum INTEGER NOT NULL
)
"""
_VARIABLES = 500
"""Keys of one SELECT, below every SQLite's limit on variables."""
_BUSY_SECONDS = 10.0


class EmbeddingCache:
    """Vectors by 16-byte key, for one embedder; the oldest go when the file passes `max_bytes`.

    A batch is written in one transaction, so a killed process loses at most the batch it was writing. Safe to share
    between threads and processes.
    """

    def __init__(self, path: Path, dimension: int, max_bytes: int = 4 << 30) -> None:
        """Open or create the file at `path` at the first use."""
        self.path = path
        self._dimension = dimension
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._off = False

    @classmethod
    def of(cls, fingerprint: str, dimension: int, max_bytes: int = 4 << 30) -> EmbeddingCache:
        """Return the cache of the embedder `fingerprint` below the user's cache folder."""
        return cls(cache_root() / "embeddings" / f"{fingerprint}.sqlite", dimension, max_bytes)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors of those `keys` that are cached and intact."""
        wanted = list(dict.fromkeys(keys))
        return self._attempt(lambda connection: self._read(connection, wanted), {})

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Store `vectors` in one transaction; keys that are there already keep their vector."""
        rows = [(key, blob, zlib.crc32(key + blob)) for key, blob in ((k, v.tobytes()) for k, v in vectors.items())]
        if rows:
            self._attempt(lambda connection: self._write(connection, rows), None)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def _read(self, connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, NDArray[np.float32]]:
        found = {}
        for start in range(0, len(keys), _VARIABLES):
            some = keys[start : start + _VARIABLES]
            marks = ",".join("?" * len(some))
            for key, blob, checksum in connection.execute(
                f"SELECT key, vector, checksum FROM vectors WHERE key IN ({marks})", some
            ):
                if len(blob) == 4 * self._dimension and zlib.crc32(key + blob) == checksum:
                    found[key] = np.frombuffer(blob, dtype=np.float32)
                else:  # a flipped bit: forget the row, so that the new vector takes its place
                    connection.execute("DELETE FROM vectors WHERE key = ?", (key,))
        return found

    def _write(self, connection: sqlite3.Connection, rows: list[tuple[bytes, bytes, int]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.executemany("INSERT OR IGNORE INTO vectors (key, vector, checksum) VALUES (?, ?, ?)", rows)
            self._evict(connection)

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Delete the oldest tenth where the pages in use pass the cap; freed pages are used again."""
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > self._max_bytes:
            low, high = connection.execute("SELECT min(id), max(id) FROM vectors").fetchone()
            connection.execute("DELETE FROM vectors WHERE id < ?", (low + max(1, (high - low + 1) // 10),))

    def _attempt(self, use: Callable[[sqlite3.Connection], _Result], otherwise: _Result) -> _Result:
        """Return what `use` does with the open file; replace a damaged file once, then give up with a warning."""
        if self._off:
            return otherwise
        with self._lock:
            for last in (False, True):
                try:
                    return use(self._connected())
                except sqlite3.OperationalError as error:  # locked for long, disk full, not writable
                    return self._give_up(error, otherwise)
                except sqlite3.DatabaseError as error:
                    if last:
                        return self._give_up(error, otherwise)
                    self._replace()
                except OSError as error:
                    return self._give_up(error, otherwise)
        return otherwise

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection = connection
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_SCHEMA)
        return self._connection

    def _replace(self) -> None:
        """Remove a damaged file, unless another process has done so meanwhile."""
        self._disconnect()
        with filelock.FileLock(f"{self.path}.lock"):
            try:
                probe = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
                healthy = probe.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
                probe.close()
            except sqlite3.DatabaseError:
                healthy = False
            if not healthy:
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _give_up(self, error: Exception, otherwise: _Result) -> _Result:
        self._off = True
        self._disconnect()
        warnings.warn(
            f"The embedding cache {self.path} is switched off for this run: {error}. Everything is computed anew.",
            RagkitWarning,
            stacklevel=5,
        )
        return otherwise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def cache_enabled() -> bool:
    """Return False where RAGKIT_EMBEDDING_CACHE is "off", "no", "false" or "0"."""
    return os.environ.get("RAGKIT_EMBEDDING_CACHE", "on").strip().lower() not in {"off", "no", "false", "0"}
