"""The metadata of stored variants in one SQLite file: rows with checksums, whole after a kill at any instant.

Write-ahead log, synchronous=NORMAL: a kill loses nothing that was committed, a power cut may lose the last commits,
which is a miss. A damaged file is moved aside and counted; a damaged row is dropped and counted; a full disk switches
the catalog off for this run. Nothing here raises.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import xxhash

from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.records import pack_variant, unpack_variant
from ragkit.cachecraft.tiers.counts import Counts

_Result = TypeVar("_Result")
_Row = tuple[str, bytes | str, bytes]
_FORMAT = "1"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS variants (name TEXT PRIMARY KEY, record BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS uses (name TEXT PRIMARY KEY, record TEXT NOT NULL, checksum BLOB NOT NULL);
"""
_BUSY_SECONDS = 5.0
_BROKEN = ".broken-"

Uses = Sequence[float]
"""What the index remembers of a variant's uses, as numbers."""


class Catalog:
    """Variants and their uses in the file at `path`. Safe to share between threads.

    `space` is the model space the file belongs to; the catalog of another one is empty. With `read_only` nothing is
    written; another process may be writing.
    """

    def __init__(self, path: Path, space: str, *, read_only: bool = False) -> None:
        self.path = path
        self._space, self._read_only = space, read_only
        self._counts = Counts()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._open()
        except (sqlite3.DatabaseError, OSError) as error:
            self._reopen(error)

    @property
    def failures(self) -> Mapping[str, int]:
        """How often what went wrong: "catalog moved aside", "row", "off"."""
        return self._counts.snapshot()

    @property
    def on(self) -> bool:
        """Whether it could be read by now; what it held may still be there where it could not."""
        with self._lock:
            return self._connection is not None

    @property
    def bytes(self) -> int:
        """Bytes of the file and its log."""
        paths = (self.path, *_beside(self.path))
        try:
            return sum(path.stat().st_size for path in paths if path.exists())
        except OSError:
            return 0

    def load(self) -> list[tuple[Variant, Uses]]:
        """Return the intact rows, in the order they were written, with the uses noted last (empty for none)."""

        def read(connection: sqlite3.Connection) -> list[tuple[Variant, Uses]]:
            rows = connection.execute(
                "SELECT v.rowid, v.name, v.record, v.checksum, u.record, u.checksum FROM variants v "
                "LEFT JOIN uses u ON u.name = v.name ORDER BY v.rowid"
            ).fetchall()
            found = [_parsed(*row[1:]) for row in rows]
            broken = [row[:1] for row, one in zip(rows, found, strict=True) if one is None]
            self._counts.add("row", len(broken))
            if not self._read_only:
                connection.executemany("DELETE FROM variants WHERE rowid = ?", broken)
                connection.execute("DELETE FROM uses WHERE name NOT IN (SELECT name FROM variants)")
            return [one for one in found if one is not None]

        return self._attempt(read, [])

    def add(self, variants: Iterable[Variant]) -> None:
        """Keep the metadata of variants, in one transaction."""
        records = [(variant.name, pack_variant(variant)) for variant in variants]
        rows: list[_Row] = [(name, record, _checksum(name, record)) for name, record in records]
        self._write(lambda connection: _insert(connection, "variants", rows))

    def note(self, uses: Mapping[str, Uses]) -> None:
        """Keep what is known of the uses of some variants, in one transaction."""
        records = [(name, json.dumps(list(numbers))) for name, numbers in uses.items()]
        rows: list[_Row] = [(name, record, _checksum(name, record.encode())) for name, record in records]
        self._write(lambda connection: _insert(connection, "uses", rows))

    def remove(self, names: Iterable[str]) -> None:
        """Forget variants."""
        gone = list(names)
        if gone:
            self._write(lambda connection: _delete(connection, gone))

    def clear(self) -> bool:
        """Forget all variants, and remove the damaged files that were moved aside; return whether all are gone."""

        def empty(connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM variants")
            connection.execute("DELETE FROM uses")
            return True

        if self._read_only:
            return False
        try:
            for path in self.path.parent.glob(f"{self.path.name}{_BROKEN}*"):
                path.unlink(missing_ok=True)
        except OSError:
            return False
        return self._attempt(empty, otherwise=False)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _write(self, use: Callable[[sqlite3.Connection], None]) -> None:
        if not self._read_only:
            self._attempt(use, None)

    def _attempt(self, use: Callable[[sqlite3.Connection], _Result], otherwise: _Result) -> _Result:
        with self._lock:
            if self._connection is None:
                return otherwise
            try:
                with self._connection:
                    return use(self._connection)
            except (sqlite3.Error, OSError) as error:
                self._connection.close()
                self._connection = None
                self._reopen(error)
                return otherwise

    def _reopen(self, error: Exception) -> None:
        """Move a damaged file aside and begin a new one; anything else switches the catalog off."""
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        if damaged and not self._read_only:
            try:
                self._move_aside()
                self._connection = self._open()
            except (sqlite3.Error, OSError):
                self._counts.add("off")
            else:
                self._counts.add("catalog moved aside")
        else:
            self._counts.add("off")

    def _move_aside(self) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}{_BROKEN}{number}")).exists():
            number += 1
        if self.path.exists():
            self.path.rename(aside)
        for path in _beside(self.path):
            path.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rwc"
        uri = f"{self.path.resolve().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)
        connection.text_factory = lambda text: text.decode(errors="replace")  # a flipped bit is a broken row, no error
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if not self._read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
        facts = dict(connection.execute("SELECT name, value FROM facts"))
        expected = {"format": _FORMAT, "space": self._space}
        if not facts and not self._read_only:
            with connection:
                connection.executemany("INSERT INTO facts VALUES (?, ?)", list(expected.items()))
        elif facts != expected:
            raise sqlite3.DatabaseError("another format or model space")


def space_of(path: Path) -> str:
    """Return the model space that the catalog at `path` belongs to; "" where it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return str(connection.execute("SELECT value FROM facts WHERE name = 'space'").fetchone()[0])
    except (sqlite3.Error, OSError, TypeError):
        return ""


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _checksum(name: str, record: bytes) -> bytes:
    return xxhash.xxh3_64_digest(name.encode() + b"\0" + record)


def _insert(connection: sqlite3.Connection, table: str, rows: list[_Row]) -> None:
    connection.executemany(f"INSERT OR REPLACE INTO {table} (name, record, checksum) VALUES (?, ?, ?)", rows)


def _delete(connection: sqlite3.Connection, names: Sequence[str]) -> None:
    for table in ("variants", "uses"):
        connection.executemany(f"DELETE FROM {table} WHERE name = ?", [(name,) for name in names])


def _parsed(
    name: str, record: bytes, checksum: bytes, uses: str | None, uses_checksum: bytes | None
) -> tuple[Variant, Uses] | None:
    if not isinstance(record, bytes) or _checksum(name, record) != checksum:
        return None
    try:
        variant = unpack_variant(record)
    except (ValueError, KeyError, TypeError):
        return None
    if variant.name != name:
        return None
    intact = isinstance(uses, str) and _checksum(name, uses.encode()) == uses_checksum
    return variant, json.loads(uses) if intact and uses else []
