"""One generation of an index, stable for as long as it is open, whatever a writer does meanwhile."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import RLock
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np

from ragkit.errors import ContractError, CorruptIndexError
from ragkit.index.durable import storage_errors
from ragkit.index.header import IndexHeader
from ragkit.index.ledger import COLUMNS, connect, read_meta, read_rows, row_checksum
from ragkit.index.postings import Postings
from ragkit.index.records import StoredChunk
from ragkit.index.segments import Segment, open_segment
from ragkit.index.where import compile_where
from ragkit.protocols import Rows, Vectors
from ragkit.schema import Chunk

_ATTEMPTS = 5
_CACHED_FILTERS = 64
_ROWS_PER_QUERY = 500


class Snapshot:
    """A read transaction on the ledger together with the segments of the same generation.

    Safe to use from several threads. Raises MissingIndexError if the folder holds no index, CorruptIndexError if a
    checksum does not hold, IndexMismatchError for another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = RLock()
        self._filters: OrderedDict[str, Rows] = OrderedDict()
        for attempt in range(_ATTEMPTS):
            self._connection = connect(folder, write=False)
            try:
                with storage_errors(folder):
                    self._open()
                return
            except FileNotFoundError as error:
                # A writer committed and removed the files of this generation between the two looks: look again.
                self._connection.close()
                if attempt == _ATTEMPTS - 1:
                    raise CorruptIndexError(
                        f"{error.filename} is missing.", hint="Run `ragkit repair` to rebuild it from the ledger."
                    ) from None
            except BaseException:
                self._connection.close()
                raise

    def _open(self) -> None:
        self._connection.execute("BEGIN")
        meta = read_meta(self._connection)
        self.generation = int(meta["generation"])
        self.header = IndexHeader.from_json(meta["header"])
        self.postings: Postings | None = None
        if meta["postings"]:
            folder = self.folder / meta["postings"]
            if not folder.is_dir():
                raise FileNotFoundError(2, "missing", str(folder))
            self.postings = Postings.open(folder)
        self.segments: tuple[Segment, ...] = tuple(
            open_segment(self.folder / "segments" / name, content)
            for name, _, content in read_rows(self._connection, "segments", "ORDER BY name")
        )
        dead = [row for (row,) in read_rows(self._connection, "dead", "ORDER BY row")]
        self._dead = np.array(dead, dtype=np.int64)
        self.size = int(meta["chunks"])

    def dead_rows(self) -> Rows:
        """Return the sorted rows that segments still hold but the ledger does not."""
        return self._dead

    def live_rows(self) -> Rows:
        """Return the sorted rows of all chunks."""
        return self._rows("SELECT row FROM chunks ORDER BY row")

    def rows_where(self, where: str) -> Rows:
        """Return the sorted rows of the chunks whose metadata match; raise FilterError if `where` does not parse."""
        with self._lock:
            if where not in self._filters:
                compiled = compile_where(where)
                self._filters[where] = self._rows(
                    f"SELECT c.row FROM chunks c JOIN documents d USING (doc_row) WHERE {compiled.sql} ORDER BY c.row",
                    compiled.parameters,
                )
                if len(self._filters) > _CACHED_FILTERS:
                    self._filters.popitem(last=False)
            return self._filters[where]

    def chunks(self, rows: Sequence[int]) -> list[StoredChunk]:
        """Return the chunks of `rows` in the order given; rows unknown to this generation are left out."""
        found: dict[int, StoredChunk] = {}
        wanted = [int(row) for row in rows]
        for at in range(0, len(wanted), _ROWS_PER_QUERY):
            some = wanted[at : at + _ROWS_PER_QUERY]
            marks = ", ".join("?" * len(some))
            for chunk in self._stored(f"WHERE c.row IN ({marks})", some):
                found[chunk.row] = chunk
        return [found[row] for row in wanted if row in found]

    def identities(self, rows: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Return (chunk id, source) of each of `rows` that this generation knows: what breaks ties between scores."""
        found: dict[int, tuple[str, str]] = {}
        for at in range(0, len(rows), _ROWS_PER_QUERY):
            some = [int(row) for row in rows[at : at + _ROWS_PER_QUERY]]
            query = (
                "SELECT c.row, c.chunk_id, d.source FROM chunks c JOIN documents d USING (doc_row) "
                f"WHERE c.row IN ({', '.join('?' * len(some))})"
            )
            with self._lock, storage_errors(self.folder):
                for row, chunk_id, source in self._connection.execute(query, some):
                    found[row] = (chunk_id, source)
        return found

    def neighbours(self, row: int, before: int, after: int) -> list[StoredChunk]:
        """Return the chunks around `row` in its document, itself included, in document order."""
        return list(
            self._stored(
                "JOIN chunks m ON m.row = ? WHERE c.doc_row = m.doc_row "
                "AND c.ordinal BETWEEN m.ordinal - ? AND m.ordinal + ? ORDER BY c.ordinal",
                [int(row), before, after],
            )
        )

    def text_between(self, first_row: int, last_row: int) -> str:
        """Return the document's exact text from the start of one chunk to the end of a later one of its document."""
        pieces: list[str] = []
        end: int | None = None
        for stored, lead in self._run_of(first_row, last_row):
            chunk = stored.chunk
            # An overlapping chunk adds only what lies beyond the one before; a gap adds the text that led up to it.
            pieces += (chunk.text,) if end is None else (lead, chunk.text[max(0, end - chunk.start) :])
            end = chunk.end
        if not pieces:
            raise ContractError(f"The chunks {first_row} and {last_row} are not in this order in one document.")
        return "".join(pieces)

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """Return the stored vector of each of `rows`; raise CorruptIndexError if one has none."""
        wanted = np.asarray(rows, dtype=np.int64)
        result = np.zeros((len(wanted), self.header.dimension), dtype=np.float32)
        missing = np.ones(len(wanted), dtype=bool)
        for segment in self.segments:
            if not len(segment.rows):
                continue
            at = np.minimum(np.searchsorted(segment.rows, wanted), len(segment.rows) - 1)
            here = segment.rows[at] == wanted
            result[here] = segment.vectors[at[here]]
            missing &= ~here
        if missing.any():
            raise CorruptIndexError(
                f"The chunk row {wanted[missing][0]} has no vector.", hint="Run `ragkit repair` to rebuild it."
            )
        return result

    def close(self) -> None:
        """End the read transaction; maps stay valid while arrays of them are in use."""
        self._connection.close()

    def __enter__(self) -> Snapshot:
        """Return the snapshot itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the snapshot."""
        self.close()

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> Rows:
        with self._lock, storage_errors(self.folder):
            return np.array([row for (row,) in self._connection.execute(query, parameters)], dtype=np.int64)

    def _run_of(self, first_row: int, last_row: int) -> Iterator[tuple[StoredChunk, str]]:
        """Yield the chunks of one document from `first_row` to `last_row` with the text that leads up to each."""
        condition = (
            "JOIN chunks a ON a.row = ? JOIN chunks z ON z.row = ? AND z.doc_row = a.doc_row "
            "WHERE c.doc_row = a.doc_row AND c.ordinal BETWEEN a.ordinal AND z.ordinal ORDER BY c.ordinal"
        )
        for values, chunk in self._read(condition, [int(first_row), int(last_row)]):
            yield chunk, values[_LEAD]

    def _stored(self, condition: str, parameters: Sequence[Any]) -> Iterator[StoredChunk]:
        return (chunk for _, chunk in self._read(condition, parameters))

    def _read(self, condition: str, parameters: Sequence[Any]) -> list[tuple[tuple[Any, ...], StoredChunk]]:
        """Return chunk rows with their StoredChunk, the checksums of chunk and document compared."""
        with self._lock, storage_errors(self.folder):
            fetched = self._connection.execute(f"{_SELECT} {condition}", parameters).fetchall()
        return [(row, _stored_chunk(row)) for row in fetched]


_CHUNK, _DOCUMENT = COLUMNS["chunks"], COLUMNS["documents"]
_LEAD = _CHUNK.index("lead")
_SELECT = (
    f"SELECT {', '.join(f'c.{name}' for name in (*_CHUNK, 'checksum'))}, "
    f"{', '.join(f'd.{name}' for name in (*_DOCUMENT, 'checksum'))} "
    "FROM chunks c JOIN documents d ON d.doc_row = c.doc_row"
)


def _stored_chunk(fetched: tuple[Any, ...]) -> StoredChunk:
    """Return the chunk of one row of _SELECT; raise CorruptIndexError if a checksum does not hold."""
    width = len(_CHUNK) + 1
    for table, part in (("chunks", fetched[:width]), ("documents", fetched[width:])):
        if row_checksum(part[:-1]) != part[-1]:
            raise CorruptIndexError(
                f"The row {part[0]!r} of the ledger's table {table} is damaged.",
                hint="Run `ragkit verify` to list the damage and `ragkit repair` to mend it.",
            )
    chunk = dict(zip(_CHUNK, fetched, strict=False))
    document = dict(zip(_DOCUMENT, fetched[width:], strict=False))
    metadata = MappingProxyType({**json.loads(document["metadata"]), **json.loads(chunk["metadata"])})
    value = Chunk(
        document["doc_id"],
        chunk["start"],
        chunk["end"],
        chunk["text"],
        chunk["index_text"] or chunk["text"],
        metadata,
    )
    return StoredChunk(chunk["row"], chunk["chunk_id"], value, document["source"], chunk["page"], chunk["line"])
