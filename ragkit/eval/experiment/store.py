"""Intermediate results on disk by key: one SQLite file of compressed JSON, written in small transactions."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ragkit.errors import StorageError
from ragkit.identity import content_hash

_SCHEMA = "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
_BUSY_SECONDS = 60.0
_KEYS_PER_QUERY = 500
_SAVE_SECONDS = 1.0
"""What is computed between two writes; a killed run loses that much."""


class Store:
    """JSON values by key. What is put is on disk after at most a second of further puts, `flush` or `close`.

    Many processes may use one file. A damaged value is as if absent. Raises StorageError where the folder cannot be
    written.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file at `path`."""
        self.path = path
        with _failing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_SCHEMA)
        self._waiting: dict[bytes, bytes] = {}
        self._saved = time.monotonic()

    def get(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return the values of those `keys` that are there."""
        found: dict[str, Any] = {}
        names = {bytes.fromhex(key): key for key in keys}
        for name in names.keys() & self._waiting.keys():
            found.update((names[name], value) for value in _read(self._waiting[name]))
        wanted = [name for name in names if name not in self._waiting]
        for start in range(0, len(wanted), _KEYS_PER_QUERY):
            some = wanted[start : start + _KEYS_PER_QUERY]
            marks = ", ".join("?" * len(some))
            with _failing(self.path):
                rows = self._connection.execute(f"SELECT key, value FROM results WHERE key IN ({marks})", some)
                found.update((names[key], value) for key, blob in rows for value in _read(blob))
        return found

    def put(self, key: str, value: Any) -> None:
        """Keep `value` under `key`."""
        content = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        blob = zlib.compress(content.encode("utf-8"), 3)
        self._waiting[bytes.fromhex(key)] = zlib.crc32(blob).to_bytes(4, "big") + blob
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was put."""
        if self._waiting:
            with _failing(self.path):
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(
                    "INSERT OR REPLACE INTO results (key, value) VALUES (?, ?)", self._waiting.items()
                )
                self._connection.execute("COMMIT")
            self._waiting.clear()
        self._saved = time.monotonic()

    def close(self) -> None:
        """Write what was put and close the file."""
        self.flush()
        self._connection.close()

    def __enter__(self) -> Store:
        """Return the store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store, also after an error or Ctrl-C: what was computed stays."""
        self.close()


def key(kind: str, **fields: Any) -> str:
    """Return the key of a result of `kind` that depends on `fields`."""
    return content_hash(f"experiment {kind}", **fields)


def _read(blob: bytes) -> Iterator[Any]:
    """Yield the value in `blob`, nothing if it is damaged."""
    if zlib.crc32(blob[4:]).to_bytes(4, "big") == blob[:4]:
        yield json.loads(zlib.decompress(blob[4:]))


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"{path} cannot be read or written: {error}.", hint="Check the disk, or give another folder with --work."
        ) from error
