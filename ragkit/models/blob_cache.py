"""Results kept on disk between runs: one SQLite file of values by key, each with a checksum.

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

from ragkit.errors import RagkitWarning

_Result = TypeVar("_Result")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS {table} (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, {value} BLOB NOT NULL, checksum INTEGER NOT NULL
)
"""
_VARIABLES = 500
"""Keys of one SELECT, below every SQLite's limit on variables."""
_BUSY_SECONDS = 10.0
_CHECKS = 64
"""The size is looked at when a file may have grown by such a part of its limit: looking costs as much as writing."""
_left_behind: list[sqlite3.Connection | None] = []
"""Connections of a parent process, kept so that they are not closed by the collector."""


class BlobCache:
    """Values by 16-byte key; the oldest go when the file passes `max_bytes`.

    A batch is written in one transaction, so a killed process loses at most the batch it was writing. Safe to share
    between threads and processes.
    """

    def __init__(self, path: Path, max_bytes: int, *, what: str, table: str = "results", value: str = "value") -> None:
        """Open or create the file at `path` at the first use; `what` names the cache in its warning."""
        self.path = path
        self._max_bytes = max_bytes
        self._what = what
        self._table = table
        self._value = value
        self._connection: sqlite3.Connection | None = None
        self._unchecked = max_bytes
        """Bytes written since the size was last looked at; the first write of a process looks."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._off = False

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those `keys` that are cached and intact."""
        wanted = list(dict.fromkeys(keys))
        return self._attempt(lambda connection: self._read(connection, wanted), {})

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Store `values` in one transaction; keys that are there already keep their value."""
        rows = [(key, blob, zlib.crc32(key + blob)) for key, blob in values.items()]
        if rows:
            self._attempt(lambda connection: self._write(connection, rows), None)

    def forget(self, key: bytes) -> None:
        """Remove one value, if it is there."""
        self._attempt(lambda connection: self._delete(connection, key), None)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def _read(self, connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, bytes]:
        found = {}
        for start in range(0, len(keys), _VARIABLES):
            some = keys[start : start + _VARIABLES]
            marks = ",".join("?" * len(some))
            for key, blob, checksum in connection.execute(
                f"SELECT key, {self._value}, checksum FROM {self._table} WHERE key IN ({marks})", some
            ):
                if zlib.crc32(key + blob) == checksum:
                    found[key] = blob
                else:  # a flipped bit: forget the row, so that the new value takes its place
                    self._delete(connection, key)
        return found

    def _delete(self, connection: sqlite3.Connection, key: bytes) -> None:
        connection.execute(f"DELETE FROM {self._table} WHERE key = ?", (key,))

    def _write(self, connection: sqlite3.Connection, rows: list[tuple[bytes, bytes, int]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.executemany(
                f"INSERT OR IGNORE INTO {self._table} (key, {self._value}, checksum) VALUES (?, ?, ?)", rows
            )
            self._unchecked += sum(len(blob) for _, blob, _ in rows)
            if self._unchecked * _CHECKS >= self._max_bytes:
                self._evict(connection)
                self._unchecked = 0

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Delete the oldest tenth where the pages in use pass the cap; freed pages are used again."""
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > self._max_bytes:
            low, high = connection.execute(f"SELECT min(id), max(id) FROM {self._table}").fetchone()
            connection.execute(f"DELETE FROM {self._table} WHERE id < ?", (low + max(1, (high - low + 1) // 10),))

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
        if self._process != os.getpid():  # a connection must not cross a fork, nor be closed behind it
            _left_behind.append(self._connection)
            self._connection, self._process = None, os.getpid()
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection = connection
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_SCHEMA.format(table=self._table, value=self._value))
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
            f"The {self._what} cache {self.path} is switched off for this run: {error}. Everything is computed anew.",
            RagkitWarning,
            stacklevel=5,
        )
        return otherwise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def switched_on(variable: str) -> bool:
    """Return False where the environment variable is "off", "no", "false" or "0"."""
    return os.environ.get(variable, "on").strip().lower() not in {"off", "no", "false", "0"}
