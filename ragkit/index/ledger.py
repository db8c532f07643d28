"""The SQLite ledger: tables, connections and row checksums.

The ledger is the only commit record of an index. SQLite does not notice a flipped bit in a payload, so every row ends
with a checksum of its other columns, compared on every read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import xxhash

from ragkit.errors import CorruptIndexError, MissingIndexError
from ragkit.index.durable import publish, storage_errors, sync_file

LEDGER_NAME = "ledger.sqlite"

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (
    source TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, seen_ns INTEGER NOT NULL,
    content TEXT NOT NULL, reader TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    doc_row INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, doc_id TEXT NOT NULL, content TEXT NOT NULL,
    text_hash TEXT NOT NULL, metadata TEXT NOT NULL, tail TEXT NOT NULL, chunk_count INTEGER NOT NULL,
    checksum INTEGER NOT NULL, UNIQUE (source, doc_id));
CREATE TABLE chunks (
    row INTEGER PRIMARY KEY AUTOINCREMENT, doc_row INTEGER NOT NULL, ordinal INTEGER NOT NULL, start INTEGER NOT NULL,
    end INTEGER NOT NULL, chunk_id TEXT NOT NULL, text TEXT NOT NULL, index_text TEXT, lead TEXT NOT NULL,
    page INTEGER, line INTEGER, metadata TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE UNIQUE INDEX chunks_of_document ON chunks (doc_row, ordinal);
CREATE TABLE segments (
    name TEXT PRIMARY KEY, count INTEGER NOT NULL, content TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dead (row INTEGER PRIMARY KEY, checksum INTEGER NOT NULL);
"""

COLUMNS: dict[str, tuple[str, ...]] = {
    "meta": ("key", "value"),
    "sources": ("source", "size", "mtime_ns", "seen_ns", "content", "reader"),
    "documents": ("doc_row", "source", "doc_id", "content", "text_hash", "metadata", "tail", "chunk_count"),
    "chunks": (
        "row",
        "doc_row",
        "ordinal",
        "start",
        "end",
        "chunk_id",
        "text",
        "index_text",
        "lead",
        "page",
        "line",
        "metadata",
    ),
    "segments": ("name", "count", "content"),
    "dead": ("row",),
}
"""The columns of every table in the order that its checksum covers, the checksum itself left out."""

_HINT = "Run `ragkit verify` to list the damage and `ragkit repair` to mend it."


def create_ledger(folder: Path, meta: dict[str, str]) -> None:
    """Create the ledger of a new, empty index; it appears whole or not at all."""
    temporary = folder / f"{LEDGER_NAME}.tmp"
    for leftover in folder.glob(f"{LEDGER_NAME}.tmp*"):
        leftover.unlink()
    connection = sqlite3.connect(temporary, isolation_level=None)
    try:
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        put_rows(connection, "meta", list(meta.items()))
    finally:
        connection.close()
    sync_file(temporary)
    publish(temporary, folder / LEDGER_NAME)


def require_index(folder: Path) -> None:
    """Raise MissingIndexError unless `folder` holds a ledger."""
    if not (folder / LEDGER_NAME).is_file():
        raise MissingIndexError(
            f"There is no index in {folder}.", hint=f"Create one with: ragkit index SOURCES --index {folder}"
        )


def connect(folder: Path, *, write: bool) -> sqlite3.Connection:
    """Return an open connection to the ledger in `folder`; raise MissingIndexError if there is none.

    Transactions are explicit. The connection may move between threads, one at a time.
    """
    require_index(folder)
    path = folder / LEDGER_NAME
    with storage_errors(folder):
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16384")
        if not write:
            connection.execute("PRAGMA query_only = ON")
    return connection


def row_checksum(values: Sequence[Any]) -> int:
    """Return the signed 64-bit XXH3 of a row; JSON tells 1 from "1" and never changes with the Python version."""
    unsigned = xxhash.xxh3_64_intdigest(json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return unsigned - 2**64 if unsigned >= 2**63 else unsigned


def put_rows(connection: sqlite3.Connection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert or replace whole rows of `table`, each with its checksum."""
    marks = ", ".join("?" * (len(COLUMNS[table]) + 1))
    connection.executemany(
        f"INSERT OR REPLACE INTO {table} ({', '.join(COLUMNS[table])}, checksum) VALUES ({marks})",
        ((*row, row_checksum(row)) for row in rows),
    )


def scan_rows(
    connection: sqlite3.Connection, table: str, condition: str = "", parameters: Sequence[Any] = ()
) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """Yield the rows of `table` in the order of COLUMNS, each with whether its checksum holds."""
    query = f"SELECT {', '.join(COLUMNS[table])}, checksum FROM {table} {condition}"
    for *values, checksum in connection.execute(query, parameters):
        yield tuple(values), row_checksum(values) == checksum


def read_rows(
    connection: sqlite3.Connection, table: str, condition: str = "", parameters: Sequence[Any] = ()
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `table` in the order of COLUMNS; raise CorruptIndexError at the first damaged one."""
    for values, intact in scan_rows(connection, table, condition, parameters):
        if not intact:
            raise CorruptIndexError(f"The row {values[0]!r} of the ledger's table {table} is damaged.", hint=_HINT)
        yield values


def read_meta(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the key-value table: generation, header and postings."""
    return dict(read_rows(connection, "meta"))
