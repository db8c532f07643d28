"""One indexing run: what changed is read, cut, embedded and handed to the index writer; the rest is left alone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from ragkit.config import LoadingConfig
from ragkit.errors import ContractError, LoadError
from ragkit.identity import content_hash
from ragkit.index.rows import document_content
from ragkit.index.writer import IndexWriter, KnownDocument, SourceState
from ragkit.loaders.failure import Failure
from ragkit.loaders.reading import read
from ragkit.loaders.walk import SourceFile
from ragkit.protocols import Chunker, Embedder, Progress
from ragkit.schema import Chunked, Document

_READING_VERSION = 1
"""Raised when loaders change what they make of a file, so that files are read again."""

_BATCH_CHUNKS = 2048
_BATCH_CHARACTERS = 8 * 2**20
_JUST_ADDED = -1
_RACY_NS = 2 * 10**9
"""A file touched this shortly before it was read may have changed again within the clock's resolution."""


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an indexing run did: `documents` and `chunks` are totals of the index, the rest counts documents."""

    documents: int
    chunks: int
    added: int
    updated: int
    unchanged: int
    removed: int
    failed: tuple[Failure, ...]
    skipped: int
    seconds: float
    generation: int


@dataclass(slots=True)
class Ingest:
    """Counts and collaborators of one run. Chunker and embedder are made only once something needs them."""

    writer: IndexWriter
    caps: LoadingConfig
    make_chunker: Callable[[], Chunker]
    make_embedder: Callable[[], Embedder]
    progress: Progress | None = None
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[Failure] = field(default_factory=list)
    _total: int = 0
    _stored: int = 0
    _read: int = 0

    def sources(self, files: Sequence[SourceFile], roots: Sequence[Path]) -> None:
        """Bring the index up to date with `files`; sources below `roots` that are not among them are removed."""
        known = self.writer.sources()
        counts = self.writer.document_counts()
        reader = _reader_fingerprint(self.caps)
        present = {str(file.path) for file in files}
        for source in known.keys() - present:
            if any(Path(source).is_relative_to(root) for root in roots):
                self.removed += self.writer.remove_source(source)
        changed = []
        for file in files:
            if _unchanged(known.get(str(file.path)), file, reader):
                self.unchanged += counts.get(str(file.path), 0)
            else:
                changed.append(file)
        self._total = sum(file.size for file in changed)
        if changed:
            self._index(self._changed(changed, known, counts, reader))

    def documents(self, documents: Iterable[Document]) -> None:
        """Add documents given as values; those of a source that the index holds with the same id are replaced."""
        self._index(self._given(documents))

    def _index(self, documents: Iterator[Document]) -> None:
        first = next(documents, None)
        if first is None:
            return
        batch: list[Chunked] = []
        chunks = characters = 0
        for chunked in self.make_chunker().chunk(chain([first], documents)):
            batch.append(chunked)
            chunks += len(chunked.chunks)
            characters += len(chunked.document.text)
            if chunks >= _BATCH_CHUNKS or characters >= _BATCH_CHARACTERS:
                self._flush(batch)
                chunks = characters = 0
        self._flush(batch)

    def _flush(self, batch: list[Chunked]) -> None:
        """Embed and store `batch`, then empty it."""
        if batch:
            self.writer.add(batch, self.make_embedder().embed_chunks(batch, self._embedded))
            batch.clear()
        self._stored = self._read
        self._embedded("stored", 1, 1)

    def _embedded(self, stage: str, done: int, total: int | None) -> None:  # noqa: ARG002 - the signature of Progress
        """Report bytes: all that was stored, and the embedded share of what was read since."""
        if self.progress is not None and self._total:
            pending = (self._read - self._stored) * done / total if total else 0
            self.progress("indexing", min(self._total, self._stored + int(pending)), self._total)

    def _given(self, documents: Iterable[Document]) -> Iterator[Document]:
        known: dict[str, dict[str, KnownDocument]] = {}
        for document in documents:
            held = known.setdefault(document.source, self.writer.documents_of(document.source))
            old = held.get(document.doc_id)
            if old is not None and old.content == document_content(document):
                self.unchanged += 1
                continue
            if old is not None and old.doc_row == _JUST_ADDED:
                raise ContractError(f"The document {document.doc_id!r} of {document.source} was given twice.")
            if old is not None:
                self.writer.remove(old.doc_row)
                self.updated += 1
            else:
                self.added += 1
            held[document.doc_id] = KnownDocument(_JUST_ADDED, document_content(document))
            yield document

    def _changed(
        self, files: Sequence[SourceFile], known: dict[str, SourceState], counts: dict[str, int], reader: str
    ) -> Iterator[Document]:
        """Yield the documents of `files` that the index does not hold as they are."""
        for file in files:
            source = str(file.path)
            before = known.get(source)
            try:
                content = _file_hash(file)
            except OSError as error:
                self.failed.append(Failure(source, f"cannot be read: {error.strerror}"))
                continue
            state = SourceState(file.size, file.mtime_ns, time.time_ns(), content, reader)
            if before is not None and (before.content, before.reader) == (content, reader):
                self.unchanged += counts.get(source, 0)
                self.writer.put_source(source, state)
            else:
                yield from self._documents_of(file, state)
                continue
            self._read += file.size

    def _documents_of(self, file: SourceFile, state: SourceState) -> Iterator[Document]:
        source = str(file.path)
        held = self.writer.documents_of(source)
        seen: set[str] = set()
        new = 0
        failures = len(self.failed)
        unread = file.size
        for item in read(file.path, self.caps):
            if isinstance(item, Document):
                # A file of many records moves the bar with every record; compressed ones reach their size early.
                unread -= (credit := min(unread, len(item.text)))
                self._read += credit
            if isinstance(item, Failure):
                self.failed.append(item)
                continue
            if item.doc_id in seen:
                continue
            seen.add(item.doc_id)
            old = held.get(item.doc_id)
            if old is not None and old.content == document_content(item):
                self.unchanged += 1
                continue
            if old is not None:
                self.writer.remove(old.doc_row)
                self.updated += 1
            else:
                new += 1
            yield item
        self._read += unread
        if not seen and len(self.failed) > failures:
            return  # Unreadable now: what was indexed before stays, and the next run tries again.
        gone = [document for doc_id, document in held.items() if doc_id not in seen]
        for document in gone:
            self.writer.remove(document.doc_row)
        replaced = min(new, len(gone))
        self.updated += replaced
        self.added += new - replaced
        self.removed += len(gone) - replaced
        if len(self.failed) == failures:
            self.writer.put_source(source, state)


def nothing_found(roots: Sequence[Path], skipped: int) -> LoadError:
    """Return the error for roots in which there is no document."""
    listed = ", ".join(str(root) for root in roots)
    also = f" ({skipped} files of other kinds were skipped)" if skipped else ""
    return LoadError(
        f"There is no document in {listed}{also}; an index that exists is left as it is.",
        hint="Name files or folders with text, Markdown, HTML, PDF, DOCX, JSONL or source code.",
    )


def _unchanged(state: SourceState | None, file: SourceFile, reader: str) -> bool:
    """Return whether size and time say that a file is as it was read; too fresh a time says nothing."""
    return (
        state is not None
        and (state.size, state.mtime_ns, state.reader) == (file.size, file.mtime_ns, reader)
        and state.seen_ns - state.mtime_ns > _RACY_NS
    )


def _reader_fingerprint(caps: LoadingConfig) -> str:
    return content_hash("reader", version=_READING_VERSION, text=caps.text_field, id=caps.id_field)


def _file_hash(file: SourceFile) -> str:
    with file.path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
