"""One indexing run: what changed is read, cut, embedded and handed to the index writer; the rest is left alone."""

from __future__ import annotations

import hashlib
import time
from collections import deque
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
class _File:
    """A file on its way into the index; it counts as read once each of its documents is stored."""

    source: str
    state: SourceState
    held: dict[str, KnownDocument]
    seen: set[str] = field(default_factory=set)
    waiting: int = 0
    """Documents handed to the chunker that are neither stored nor failed yet."""
    new: int = 0
    """Documents stored under ids that the index did not hold."""
    whole: bool = True
    """Whether nothing of it failed."""
    keeps_gone: bool = False
    """Whether documents that are no longer in the file stay, since what replaces them may be what failed."""
    read: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A document handed to the chunker, with what it replaces."""

    document: Document
    old: KnownDocument | None
    file: _File | None


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
    _waiting: deque[_Waiting] = field(default_factory=deque)
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
        if self._waiting:
            lost = self._waiting[0].document
            raise ContractError(
                f"{lost.source}: the chunker lost a document.",
                hint="Check the chunker with ragkit.testing.check_chunker.",
            )

    def _flush(self, batch: list[Chunked]) -> None:
        """Embed and store `batch`, then empty it; what failed is reported, and the index keeps what it held of it."""
        ready: list[tuple[Chunked, _Waiting]] = []
        for chunked in batch:
            waiting = self._next_waiting(chunked)
            if chunked.failure is None:
                ready.append((chunked, waiting))
            else:
                self._fail(waiting, chunked.failure)
        batch.clear()
        if ready:
            chunkeds = [chunked for chunked, _ in ready]
            vectors = self.make_embedder().embed_chunks(chunkeds, self._embedded)
            for _, waiting in ready:
                self._replace(waiting)
            self.writer.add(chunkeds, vectors)
            for _, waiting in ready:
                self._settle(waiting.file)
        self._stored = self._read
        self._embedded("stored", 1, 1)

    def _next_waiting(self, chunked: Chunked) -> _Waiting:
        """Return what is known about the document that comes out of the chunker; raise ContractError out of order."""
        if not self._waiting or self._waiting[0].document.doc_id != chunked.document.doc_id:
            raise ContractError(
                f"{chunked.document.source}: the chunker gave a document out of order.",
                hint="Check the chunker with ragkit.testing.check_chunker.",
            )
        return self._waiting.popleft()

    def _fail(self, waiting: _Waiting, reason: str) -> None:
        document, file = waiting.document, waiting.file
        named = "" if document.doc_id == document.text_hash else f"document {document.doc_id!r}: "
        self.failed.append(Failure(document.source, named + reason))
        if file is not None:
            file.whole = False
            file.keeps_gone |= waiting.old is None
        self._settle(file)

    def _replace(self, waiting: _Waiting) -> None:
        """Remove the old version of a document that is about to be stored, and count it."""
        if waiting.old is not None:
            self.writer.remove(waiting.old.doc_row)
            self.updated += 1
        elif waiting.file is not None:
            waiting.file.new += 1
        else:
            self.added += 1

    def _settle(self, file: _File | None) -> None:
        """Count one document of `file` as done; the last one finishes the file."""
        if file is not None:
            file.waiting -= 1
            self._finish(file)

    def _finish(self, file: _File) -> None:
        """Remove what a file no longer holds and mark it as read, once it is read and nothing of it is waiting."""
        if not file.read or file.waiting:
            return
        gone = [] if file.keeps_gone else [old for doc_id, old in file.held.items() if doc_id not in file.seen]
        for old in gone:
            self.writer.remove(old.doc_row)
        replaced = min(file.new, len(gone))
        self.updated += replaced
        self.added += file.new - replaced
        self.removed += len(gone) - replaced
        if file.whole:
            self.writer.put_source(file.source, file.state)

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
            held[document.doc_id] = KnownDocument(_JUST_ADDED, document_content(document))
            self._waiting.append(_Waiting(document, old, None))
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
        entry = _File(source, state, self.writer.documents_of(source))
        unread = file.size
        for item in read(file.path, self.caps):
            if isinstance(item, Failure):
                self.failed.append(item)
                entry.whole = False
                continue
            # A file of many records moves the bar with every record; compressed ones reach their size early.
            unread -= (credit := min(unread, len(item.text)))
            self._read += credit
            if item.doc_id in entry.seen:
                continue
            entry.seen.add(item.doc_id)
            old = entry.held.get(item.doc_id)
            if old is not None and old.content == document_content(item):
                self.unchanged += 1
                continue
            entry.waiting += 1
            self._waiting.append(_Waiting(item, old, entry))
            yield item
        self._read += unread
        if not entry.seen and not entry.whole:
            return  # Unreadable now: what was indexed before stays, and the next run tries again.
        entry.read = True
        self._finish(entry)


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
