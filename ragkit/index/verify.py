"""Proof that an index is whole: every checksum, every count, every text, every vector, every posting."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragkit.errors import CorruptIndexError, RagkitError
from ragkit.identity import content_hash
from ragkit.index.header import IndexHeader
from ragkit.index.ledger import COLUMNS, connect, scan_rows
from ragkit.index.postings import verify_postings
from ragkit.index.rows import rebuild_text
from ragkit.index.segments import Segment, open_segment
from ragkit.protocols import Rows

_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the part of the index, and what was found and expected there."""

    part: str
    detail: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` looked at and found; no problems means that the index is whole."""

    generation: int
    documents: int
    chunks: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems


def verify(folder: Path) -> VerifyReport:
    """Check everything in `folder`; reads all of it, changes nothing.

    Raises MissingIndexError if there is no index; all damage is reported, not raised.
    """
    try:
        connection = connect(folder, write=False)
    except CorruptIndexError as error:
        return VerifyReport(0, 0, 0, (Problem("ledger", error.message),))
    meta: dict[str, str] = {}
    problems: list[Problem] = []
    try:
        connection.execute("BEGIN")
        problems += _collect("ledger", lambda: _database(connection))
        meta = dict(values for values, _ in scan_rows(connection, "meta"))
        problems += _collect("ledger", lambda: _documents(connection))
        problems += _collect("ledger", lambda: _counts(connection, meta))
        problems += _collect("vectors", lambda: _vectors(connection, folder, meta))
        problems += _collect("postings", lambda: _postings(connection, folder, meta))
    except sqlite3.DatabaseError as error:
        problems.append(Problem("ledger", f"SQLite cannot read it: {error}."))
    finally:
        connection.close()
    generation, documents, chunks = (int(meta.get(key, 0)) for key in ("generation", "documents", "chunks"))
    return VerifyReport(generation, documents, chunks, tuple(problems))


def _collect(part: str, check: Callable[[], Iterator[Problem]]) -> list[Problem]:
    """Return what `check` finds; a check that breaks on the damage it met becomes a problem itself."""
    found: list[Problem] = []
    try:
        found.extend(check())
    except (RagkitError, sqlite3.DatabaseError, ValueError, KeyError, OSError) as error:
        found.append(Problem(part, str(error)))
    return found


def _database(connection: sqlite3.Connection) -> Iterator[Problem]:
    """SQLite's own check, then the checksum of every row of every table."""
    for (finding,) in connection.execute("PRAGMA integrity_check(20)"):
        if finding != "ok":
            yield Problem("ledger", f"SQLite's integrity check: {finding}")
    for table in COLUMNS:
        for values, intact in scan_rows(connection, table):
            if not intact:
                yield Problem("ledger", f"The checksum of row {values[0]!r} of the table {table} does not hold.")


def _documents(connection: sqlite3.Connection) -> Iterator[Problem]:
    """Every document's text, put together from its chunks, must have the hash that was recorded."""
    query = "SELECT start, lead, text FROM chunks WHERE doc_row = ? ORDER BY ordinal"
    for values, _ in scan_rows(connection, "documents"):
        document = dict(zip(COLUMNS["documents"], values, strict=True))
        chunks = connection.execute(query, [document["doc_row"]]).fetchall()
        label = f"{document['source']} ({document['doc_id']})"
        if len(chunks) != document["chunk_count"]:
            yield Problem("ledger", f"{label} has {len(chunks)} chunks; {document['chunk_count']} were committed.")
        elif content_hash("document", text=rebuild_text(chunks, document["tail"])) != document["text_hash"]:
            yield Problem("ledger", f"{label}: its chunks no longer make up its text.")


def _counts(connection: sqlite3.Connection, meta: dict[str, str]) -> Iterator[Problem]:
    for table in ("documents", "chunks"):
        (found,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        if found != int(meta[table]):
            yield Problem("ledger", f"There are {found} {table}; {meta[table]} were committed.")
    orphans = "SELECT COUNT(*) FROM chunks WHERE doc_row NOT IN (SELECT doc_row FROM documents)"
    (lost,) = connection.execute(orphans).fetchone()
    if lost:
        yield Problem("ledger", f"{lost} chunks belong to no document.")


def _vectors(connection: sqlite3.Connection, folder: Path, meta: dict[str, str]) -> Iterator[Problem]:
    """Every live chunk has exactly one finite unit vector, and every other row of a segment is known to be dead."""
    dimension = IndexHeader.from_json(meta["header"]).dimension
    held: list[Rows] = []
    for (name, count, checksum), _ in scan_rows(connection, "segments"):
        try:
            segment = open_segment(folder / "segments" / name, checksum)
        except (RagkitError, OSError) as error:
            yield Problem("vectors", str(error))
            continue
        held.append(segment.rows)
        yield from _segment(segment, count, dimension)
    rows = np.concatenate(held) if held else np.array([], dtype=np.int64)
    live, dead = _column(connection, "chunks"), _column(connection, "dead")
    if len(np.unique(rows)) != len(rows):
        yield Problem("vectors", "Some rows have more than one vector.")
    missing, unknown = np.setdiff1d(live, rows), np.setdiff1d(rows, np.union1d(live, dead))
    if len(missing):
        yield Problem("vectors", f"{len(missing)} chunks have no vector, row {missing[0]} the first.")
    if len(unknown):
        yield Problem("vectors", f"{len(unknown)} vectors belong to no chunk, row {unknown[0]} the first.")


def _segment(segment: Segment, count: int, dimension: int) -> Iterator[Problem]:
    if segment.vectors.shape != (count, dimension):
        yield Problem("vectors", f"{segment.name} has the shape {segment.vectors.shape}, not {(count, dimension)}.")
        return
    norms = np.linalg.norm(segment.vectors, axis=1)
    wrong = ~(np.abs(norms - 1) <= _UNIT_TOLERANCE) & (norms != 0)
    if wrong.any():
        yield Problem("vectors", f"{segment.name}: {wrong.sum()} vectors are not finite and of unit length.")


def _postings(connection: sqlite3.Connection, folder: Path, meta: dict[str, str]) -> Iterator[Problem]:
    live = _column(connection, "chunks")
    if not meta["postings"]:
        if len(live):
            yield Problem("postings", f"There are none for {len(live)} chunks.")
        return
    for detail in verify_postings(folder / meta["postings"], live):
        yield Problem("postings", detail)


def _column(connection: sqlite3.Connection, table: str) -> Rows:
    found: list[tuple[Any]] = connection.execute(f"SELECT row FROM {table} ORDER BY row").fetchall()
    return np.array([row for (row,) in found], dtype=np.int64)
