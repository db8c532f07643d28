"""One commit: documents in and out, their vectors and postings, all or nothing.

Order of a commit: the new segment and the new postings folder are written, flushed and renamed into place; then one
SQLite transaction names them. Until that transaction is durable nothing refers to the new files; from then on nothing
refers to the old ones, and they are removed. Readers map what they need when they open, and look again if a commit
came between.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from ragkit.errors import ContractError
from ragkit.index.compaction import merge_segments, worth_merging
from ragkit.index.durable import storage_errors
from ragkit.index.header import IndexHeader
from ragkit.index.ledger import connect, put_rows, read_meta, read_rows
from ragkit.index.postings import write_postings
from ragkit.index.rows import chunk_rows, document_row
from ragkit.index.segments import SegmentWriter, open_segment
from ragkit.protocols import Rows, Vectors
from ragkit.schema import Chunked


class SourceState(NamedTuple):
    """What the ledger knows of one source, to tell whether it changed."""

    size: int
    mtime_ns: int
    seen_ns: int
    content: str
    reader: str


class KnownDocument(NamedTuple):
    """A document that the ledger holds."""

    doc_row: int
    content: str


class Committed(NamedTuple):
    """The generation that a commit made, and the chunk rows it added and removed."""

    generation: int
    added: Rows
    removed: Rows


class IndexWriter:
    """The single writer of an index. Use as a context manager; without `commit` everything is undone.

    The caller holds `writer_lock`. A given `header` replaces the stored one. Raises StorageError when the disk is
    full, with the last generation untouched.
    """

    def __init__(self, folder: Path, header: IndexHeader | None = None) -> None:
        self.folder = folder
        self.connection = connect(folder, write=True)
        with storage_errors(folder):
            self.connection.execute("BEGIN IMMEDIATE")
            self._meta = read_meta(self.connection)
            self._remove_unused_files()
            self._first_row = self._next_row = 1 + self._last("chunks")
        self.header = header or IndexHeader.from_json(self._meta["header"])
        self.generation = int(self._meta["generation"])
        self._segment: SegmentWriter | None = None
        self._removed: list[int] = []
        self._changed = header is not None

    def sources(self) -> dict[str, SourceState]:
        """Return every known source with its state."""
        return {row[0]: SourceState(*row[1:]) for row in read_rows(self.connection, "sources")}

    def document_counts(self) -> dict[str, int]:
        """Return the number of documents of every source."""
        return dict(self.connection.execute("SELECT source, COUNT(*) FROM documents GROUP BY source"))

    def documents_of(self, source: str) -> dict[str, KnownDocument]:
        """Return the documents of `source` by their id."""
        rows = read_rows(self.connection, "documents", "WHERE source = ?", [source])
        return {row[2]: KnownDocument(row[0], row[3]) for row in rows}

    def count(self, table: str) -> int:
        """Return the number of rows of `table` as it stands in this transaction."""
        return int(self.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])

    def put_source(self, source: str, state: SourceState) -> None:
        """Record the state of `source` as indexed."""
        with storage_errors(self.folder):
            put_rows(self.connection, "sources", [(source, *state)])

    def add(self, batch: Sequence[Chunked], vectors: Vectors) -> None:
        """Add documents that the ledger does not hold, with one vector for each of their chunks, in order."""
        first = self._next_row
        with storage_errors(self.folder):
            doc_row = self._last("documents")
            for document, chunks in batch:
                doc_row += 1
                rows = chunk_rows(document, chunks, doc_row, self._next_row, self.header.chunker_fingerprint)
                put_rows(self.connection, "documents", [document_row(document, chunks, doc_row)])
                put_rows(self.connection, "chunks", rows)
                self._next_row += len(rows)
        self.put_vectors(np.arange(first, self._next_row, dtype=np.int64), vectors)

    def put_vectors(self, rows: Rows, vectors: Vectors) -> None:
        """Store one vector for each of `rows`, which ascend from call to call and have none yet."""
        expected = (len(rows), self.header.dimension)
        if vectors.shape != expected:
            raise ContractError(f"The embedder returned vectors of shape {vectors.shape}, expected {expected}.")
        self._changed = True
        if not len(rows):
            return
        with storage_errors(self.folder):
            if self._segment is None:
                self._segment = SegmentWriter(self._segment_path("new"), self.header.dimension)
            self._segment.append(rows, vectors)

    def remove(self, doc_row: int) -> None:
        """Remove a document and its chunks."""
        with storage_errors(self.folder):
            found = self.connection.execute("SELECT row FROM chunks WHERE doc_row = ?", [doc_row]).fetchall()
            self._removed += [row for (row,) in found]
            self.connection.execute("DELETE FROM chunks WHERE doc_row = ?", [doc_row])
            self.connection.execute("DELETE FROM documents WHERE doc_row = ?", [doc_row])
            put_rows(self.connection, "dead", found)
        self._changed = True

    def remove_source(self, source: str) -> int:
        """Remove `source` with its documents; return how many there were."""
        known = self.documents_of(source)
        for document in known.values():
            self.remove(document.doc_row)
        self.connection.execute("DELETE FROM sources WHERE source = ?", [source])
        return len(known)

    def clear(self) -> None:
        """Remove everything; what was added before in this transaction must not exist."""
        self._removed += [row for (row,) in self.connection.execute("SELECT row FROM chunks")]
        for table in ("chunks", "documents", "sources", "segments", "dead"):
            self.connection.execute(f"DELETE FROM {table}")
        self._changed = True

    @property
    def postings_folder(self) -> Path | None:
        """The postings of the last generation, or None if there are none."""
        return self.folder / self._meta["postings"] if self._meta["postings"] else None

    def rebuild_postings(self) -> None:
        """Have the commit write the postings anew instead of extending the old ones."""
        self._meta["postings"] = ""
        self._changed = True

    def commit(self) -> Committed:
        """Make everything durable as the next generation; without a change, only the states of sources are kept."""
        removed = np.array(sorted(self._removed), dtype=np.int64)
        added = np.arange(self._first_row, self._next_row, dtype=np.int64)
        with storage_errors(self.folder):
            if self._changed:
                self.generation += 1
                self._finish_segment()
                self._merge_segments()
                self._meta["postings"] = self._write_postings(removed)
                self._put_meta()
            self.connection.execute("COMMIT")
        self._remove_unused_files()
        return Committed(self.generation, added, removed)

    def close(self) -> None:
        """Undo what was not committed."""
        if self._segment is not None:
            self._segment.abandon()
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.connection.close()

    def __enter__(self) -> IndexWriter:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the writer."""
        self.close()

    def _last(self, table: str) -> int:
        """Return the highest row ever given out in `table`; numbers are never used twice."""
        found = self.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [table]).fetchone()
        return int(found[0]) if found else 0

    def _segment_path(self, kind: str) -> Path:
        folder = self.folder / "segments"
        folder.mkdir(exist_ok=True)
        return folder / f"{int(self._meta['generation']) + 1:010d}-{kind}.vec"

    def _finish_segment(self) -> None:
        if self._segment is not None:
            checksum = self._segment.finish()
            put_rows(self.connection, "segments", [(self._segment.path.name, self._segment.count, checksum)])
            self._segment = None

    def _merge_segments(self) -> None:
        listed = sorted(read_rows(self.connection, "segments"))
        dead = np.array([row for (row,) in read_rows(self.connection, "dead", "ORDER BY row")], dtype=np.int64)
        if not worth_merging(len(listed), sum(count for _, count, _ in listed), len(dead)):
            return
        segments = [open_segment(self.folder / "segments" / name, content) for name, _, content in listed]
        segments.sort(key=lambda segment: int(segment.rows[0]))
        path = self._segment_path("merged")
        merged = merge_segments(path, segments, dead, self.header.dimension)
        self.connection.execute("DELETE FROM segments")
        self.connection.execute("DELETE FROM dead")
        if merged is not None:
            put_rows(self.connection, "segments", [(path.name, *merged)])

    def _write_postings(self, removed: Rows) -> str:
        """Write the postings of this generation; return their folder, relative to the index."""
        if not self.count("chunks"):
            return ""
        name = f"postings/{self.generation:010d}"
        (self.folder / "postings").mkdir(exist_ok=True)
        write_postings(
            self.folder / name,
            self.postings_folder,
            self._texts(self._first_row),
            removed.tolist(),
            lambda: self._texts(0),
            self.header.language,
        )
        return name

    def _texts(self, first_row: int) -> Iterator[tuple[int, str]]:
        """Yield (row, index text) of the chunks from `first_row` on, in order."""
        query = "SELECT row, COALESCE(index_text, text) FROM chunks WHERE row >= ? ORDER BY row"
        yield from self.connection.execute(query, [first_row])

    def _put_meta(self) -> None:
        self._meta |= {
            "generation": str(self.generation),
            "header": self.header.to_json(),
            "documents": str(self.count("documents")),
            "chunks": str(self.count("chunks")),
        }
        put_rows(self.connection, "meta", list(self._meta.items()))

    def _remove_unused_files(self) -> None:
        """Remove what the committed ledger does not name: leftovers of a kill, and files of past generations."""
        used = {f"segments/{name}" for name, _, _ in read_rows(self.connection, "segments")}
        used.add(self._meta["postings"])
        for path in [*self.folder.glob("segments/*"), *self.folder.glob("postings/*")]:
            if path.relative_to(self.folder).as_posix() not in used:
                if path.is_dir():
                    # Renamed first: a reader finds the folder whole or not at all, and then looks again.
                    doomed = path.with_name(path.name + ".removed")
                    path.replace(doomed)
                    shutil.rmtree(doomed, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
