"""Mending an index from its own ledger: projections are rebuilt, damaged documents are given up to be read again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.errors import CorruptIndexError, RagkitError
from ragkit.identity import content_hash
from ragkit.index.ledger import COLUMNS, put_rows, scan_rows
from ragkit.index.postings import verify_postings
from ragkit.index.rows import rebuild_text
from ragkit.index.segments import open_segment
from ragkit.index.verify import Problem
from ragkit.index.writer import IndexWriter
from ragkit.protocols import Rows, Vectors
from ragkit.schema import Chunk, Chunked, Document

_BATCH = 1024
"""Chunks embedded at a time."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was mended, what could not be, and the generation afterwards."""

    generation: int
    repaired: tuple[str, ...]
    remaining: tuple[Problem, ...]


def repair_index(writer: IndexWriter, embed: Callable[[Sequence[Chunked]], Vectors]) -> tuple[list[str], list[str]]:
    """Mend the index that `writer` has open; return what was done and the sources that must be read again.

    The caller commits. Raises CorruptIndexError where SQLite itself cannot read the ledger.
    """
    try:
        done, sources = _give_up_damaged(writer)
        done += _restore_vectors(writer, embed)
        done += _restore_postings(writer)
    except sqlite3.DatabaseError as error:
        raise CorruptIndexError(
            f"The ledger of {writer.folder} cannot be read: {error}.",
            hint="Index the sources again into a new folder; cached embeddings make that quick.",
        ) from error
    return done, sources


def _give_up_damaged(writer: IndexWriter) -> tuple[list[str], list[str]]:
    """Remove documents of which a row is damaged or missing; return what was done and their sources."""
    connection = writer.connection
    lost: dict[int, str] = {}
    documents = {values[0]: (values, intact) for values, intact in scan_rows(connection, "documents")}
    for doc_row, (values, intact) in documents.items():
        if not intact or not _whole(connection, values):
            lost[doc_row] = values[1]
    done = [f"removed the damaged document {source}, to be read again" for source in lost.values()]
    for doc_row in lost:
        writer.remove(doc_row)
    orphans = {row[1] for row, _ in scan_rows(connection, "chunks")} - set(documents)
    for doc_row in orphans:
        writer.remove(doc_row)
        done.append(f"removed chunks of the lost document {doc_row}")
    damaged = [values[0] for values, intact in scan_rows(connection, "sources") if not intact]
    for source in {*lost.values(), *damaged}:
        connection.execute("DELETE FROM sources WHERE source = ?", [source])
    return done, sorted({*lost.values(), *damaged})


def _whole(connection: sqlite3.Connection, values: tuple[object, ...]) -> bool:
    """Return whether the chunks of a document are intact and make up its text."""
    document = dict(zip(COLUMNS["documents"], values, strict=True))
    rows = list(scan_rows(connection, "chunks", "WHERE doc_row = ? ORDER BY ordinal", [document["doc_row"]]))
    if not all(intact for _, intact in rows) or len(rows) != document["chunk_count"]:
        return False
    start, lead, text = (COLUMNS["chunks"].index(name) for name in ("start", "lead", "text"))
    whole = rebuild_text(((row[start], row[lead], row[text]) for row, _ in rows), str(document["tail"]))
    return content_hash("document", text=whole) == document["text_hash"]


def _restore_vectors(writer: IndexWriter, embed: Callable[[Sequence[Chunked]], Vectors]) -> list[str]:
    """Drop segments that do not open, embed the chunks that have no vector, and set right which rows are dead."""
    connection = writer.connection
    done: list[str] = []
    held: list[Rows] = [np.array([], dtype=np.int64)]
    for (name, _, checksum), intact in list(scan_rows(connection, "segments")):
        try:
            if not intact:
                raise CorruptIndexError(f"The row of {name} is damaged.")
            held.append(open_segment(writer.folder / "segments" / name, checksum).rows)
        except (RagkitError, OSError):
            connection.execute("DELETE FROM segments WHERE name = ?", [name])
            done.append(f"dropped the damaged vector segment {name}")
    rows = np.concatenate(held)
    live = np.array([row for (row,) in connection.execute("SELECT row FROM chunks")], dtype=np.int64)
    missing = np.setdiff1d(live, rows)
    dead = np.setdiff1d(rows, live)
    known = np.array([values[0] for values, intact in scan_rows(connection, "dead") if intact], dtype=np.int64)
    if not np.array_equal(np.sort(known), dead):
        connection.execute("DELETE FROM dead")
        put_rows(connection, "dead", [(int(row),) for row in dead])
        done.append("set right which vectors are dead")
    for batch in _documents_of(connection, missing):
        wanted = np.array([row for row, _ in batch], dtype=np.int64)
        writer.put_vectors(wanted, embed([chunked for _, chunked in batch]))
    if len(missing):
        done.append(f"embedded {len(missing)} chunks again")
    return done


def _documents_of(connection: sqlite3.Connection, rows: Rows) -> Iterator[list[tuple[int, Chunked]]]:
    """Yield batches of (row, document with that one chunk) for chunk rows, ascending."""
    batch: list[tuple[int, Chunked]] = []
    document: Document | None = None
    current = -1
    for row in rows.tolist():
        (values, _) = next(scan_rows(connection, "chunks", "WHERE row = ?", [row]))
        fields = dict(zip(COLUMNS["chunks"], values, strict=True))
        if fields["doc_row"] != current or document is None:
            current = fields["doc_row"]
            document = _document(connection, current)
        metadata = json.loads(fields["metadata"])
        chunk = Chunk(
            document.doc_id, fields["start"], fields["end"], fields["text"], fields["index_text"] or "", metadata
        )
        batch.append((row, Chunked(document, [chunk])))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _document(connection: sqlite3.Connection, doc_row: int) -> Document:
    """Return a stored document with its text rebuilt; its blocks and pages are not kept."""
    (values, _) = next(scan_rows(connection, "documents", "WHERE doc_row = ?", [doc_row]))
    fields = dict(zip(COLUMNS["documents"], values, strict=True))
    query = "SELECT start, lead, text FROM chunks WHERE doc_row = ? ORDER BY ordinal"
    text = rebuild_text(connection.execute(query, [doc_row]), fields["tail"])
    return Document(text, fields["source"], fields["doc_id"], json.loads(fields["metadata"]))


def _restore_postings(writer: IndexWriter) -> list[str]:
    live = np.array([row for (row,) in writer.connection.execute("SELECT row FROM chunks ORDER BY row")], np.int64)
    folder = writer.postings_folder
    if folder is not None and not verify_postings(folder, live):
        return []
    if folder is None and not len(live):
        return []
    writer.rebuild_postings()
    return ["rebuilt the lexical postings"]
