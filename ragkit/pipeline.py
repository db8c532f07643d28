"""The whole way from files to answers, on one index folder."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

from ragkit.answering.closest import closest_sentences
from ragkit.answering.prompt import source_limit
from ragkit.budget import Budget, Meter
from ragkit.cachecraft.report import collected_reports, trace_of
from ragkit.compatibility import check_built_alike, check_embedder
from ragkit.config import PartConfig, PipelineConfig
from ragkit.controllers.arranging import arranged
from ragkit.controllers.once import Once
from ragkit.controllers.question import PipelineQuestion
from ragkit.controllers.sizes import resized
from ragkit.corpus import SnapshotCorpus
from ragkit.errors import LoadError, UsageError
from ragkit.index.create import create_index, index_exists
from ragkit.index.header import IndexHeader
from ragkit.index.ledger import require_index
from ragkit.index.lock import writer_lock
from ragkit.index.repair import RepairReport, repair_index
from ragkit.index.snapshot import Snapshot
from ragkit.index.verify import VerifyReport, verify
from ragkit.index.writer import Committed, IndexWriter
from ragkit.ingest import IndexReport, Ingest, nothing_found
from ragkit.loaders.failure import Failure
from ragkit.loaders.reading import read
from ragkit.loaders.walk import walk
from ragkit.parts import (
    keeps_projection,
    make_chunker,
    make_controller,
    make_embedder,
    make_language_model,
    make_retriever,
    make_reusing_model,
    make_selector,
    make_store,
    selector_part,
    with_least_trust,
)
from ragkit.protocols import Chunker, Embedder, LanguageModel, Progress, Retriever
from ragkit.retrievers.expansion import expand_hits
from ragkit.schema import Answer, Chunked, Document, Hit, Selection

if TYPE_CHECKING:
    from ragkit.cachecraft.building import Built
    from ragkit.cachecraft.language_model import ReusingLanguageModel


class Pipeline:
    """Index documents, retrieve chunks, select among them and answer questions with exact sources.

    `index` is the index folder; it is created by the first `index()` or `add()`. Without `config` an existing index's
    own configuration is used, else the defaults. A given `config` decides how questions are answered; where it would
    have built another index than the one that exists, `index()` raises IndexMismatchError.

        with Pipeline("my-index") as pipeline:
            pipeline.index(["docs"])
            answer = pipeline.ask("How do I install it?")
    """

    def __init__(
        self, index: str | Path, config: PipelineConfig | None = None, *, progress: Progress | None = None
    ) -> None:
        self.folder = Path(index).absolute()
        self._progress = progress
        self._snapshot: Snapshot | None = None
        self._retrievers: dict[str, Retriever] = {}
        if config is None and index_exists(self.folder):
            config = self.snapshot.header.config
        self.config = config or PipelineConfig()

    @property
    def snapshot(self) -> Snapshot:
        """The generation of the index that questions are put to; `refresh` moves on to the newest one."""
        if self._snapshot is None:
            self._snapshot = Snapshot(self.folder)
        return self._snapshot

    @cached_property
    def embedder(self) -> Embedder:
        """The configured embedder, behind the on-disk cache."""
        return make_embedder(self.config)

    @cached_property
    def chunker(self) -> Chunker:
        """The configured chunker, with the configured enrichers behind it."""
        return make_chunker(self.config, self.embedder, self._progress)

    @cached_property
    def language_model(self) -> LanguageModel:
        """The configured language model."""
        return make_language_model(self.config)

    @cached_property
    def reusing_model(self) -> ReusingLanguageModel:
        """The configured language model, answering through chunk reuse; UnsupportedError if it is not a local one."""
        model = make_reusing_model(self.config)
        model.hold()
        return model

    def index(self, sources: Sequence[str | Path], *, rebuild: bool = False) -> IndexReport:
        """Bring the index up to date with files and folders; return what was done.

        Only what changed is read, cut and embedded; what vanished below `sources` is removed; other sources stay.
        `rebuild` starts afresh with the current configuration. All is one commit: when it fails or is interrupted,
        the last generation stays as it was. Files that cannot be read are in `failed`; the rest is indexed.

        Raises UsageError for a source that does not exist, LoadError if there is no document at all,
        IndexMismatchError if the index was built otherwise, IndexLockedError if another process writes.
        """
        if not sources:
            raise UsageError("No source was given.", hint="Name at least one file or folder.")
        roots = [Path(source).resolve() for source in sources]
        walked = walk(roots, self.config.loading, exclude=self.folder)
        files = list(walked.files)
        failed = list(walked.failed)
        if not files and not failed:
            raise nothing_found(roots, walked.skipped)

        def fill(ingest: Ingest) -> None:
            ingest.failed += failed
            ingest.sources(files, roots)

        return self._write(fill, rebuild=rebuild, skipped=walked.skipped)

    def add(self, documents: Iterable[Document]) -> IndexReport:
        """Add documents given as values, in one commit; one with the source and id of an indexed one replaces it."""
        return self._write(lambda ingest: ingest.documents(documents), rebuild=False, skipped=0)

    def remove(self, source: str) -> IndexReport:
        """Remove all documents of `source` (an absolute path, or as given in Document.source)."""

        def fill(ingest: Ingest) -> None:
            ingest.removed += ingest.writer.remove_source(source)

        return self._write(fill, rebuild=False, skipped=0)

    def retrieve(
        self, question: str, k: int = 10, *, where: str | None = None, retriever: str | None = None, expand: int = 0
    ) -> list[Hit]:
        """Return the `k` best chunks for `question`, best first.

        `where` filters by metadata (docs/where.md); `retriever` is "dense", "lexical" or "hybrid"; `expand` widens
        each hit by that many neighbouring chunks on both sides. Raises FilterError, UnknownPartError,
        MissingIndexError, IndexMismatchError.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1.", hint="Ask for one hit or more.")
        hits = self._retriever(retriever or self.config.retriever.name).search(question, k, where)
        return expand_hits(self.snapshot, hits, expand, expand) if expand else hits

    def select(
        self,
        question: str,
        hits: Sequence[Hit],
        *,
        selector: str | PartConfig | None = None,
        limit: int | None = None,
        min_trust: float | None = None,
        meter: Meter | None = None,
    ) -> Selection:
        """Return which of `hits` go into the prompt, within `limit` tokens of the answering model.

        `selector` is a name or a part with options; `min_trust` leaves out what is trusted less (docs/selectors.md);
        what models do for the selector is charged to `meter`.
        """
        chosen = selector if isinstance(selector, PartConfig) else selector_part(self.config, selector)
        part = make_selector(
            self.config,
            chosen if min_trust is None else with_least_trust(chosen, min_trust),
            self.language_model.count,
            lambda: self.embedder,
            language_model=lambda: self.language_model,
            meter=meter,
        )
        return part.select(question, hits, limit, SnapshotCorpus(self.snapshot))

    def ask(
        self,
        question: str,
        k: int = 10,
        *,
        where: str | None = None,
        retriever: str | None = None,
        selector: str | None = None,
        controller: str | None = None,
        min_trust: float | None = None,
        expand: int = 0,
        max_tokens: int = 128,
        budget: Budget | None = None,
        kv_reuse: bool | None = None,
    ) -> Answer:
        """Return the language model's answer to `question` with the spans of the sources that support it.

        `controller` is "feedback", "corrective" or a plugin's, "none" for none; None: the configured one. `kv_reuse`
        lets a local model use the chunks' keys and values again (docs/kv_reuse.md); None: as configured. The answer's
        trace says what was considered, kept and cut, why, and what it cost (`ragkit.answering.explain`).

        Raises what `retrieve` raises, ModelError if the model fails, BudgetExceededError before a limit is passed,
        UnsupportedError where the model cannot reuse chunks.
        """
        meter = (budget or Budget()).meter()
        reusing = self._reusing(kv_reuse)
        steering = make_controller(
            self.config, controller, embedder=lambda: self.embedder, language_model=lambda: self.language_model
        )
        chosen = selector_part(self.config, selector)

        def retrieving(query: str, count: int, other: str | None) -> list[Hit]:
            return self.retrieve(query, count, where=where, retriever=other or retriever, expand=expand)

        def selecting(query: str, hits: Sequence[Hit], larger: int) -> Selection:
            part = resized(chosen, larger) if larger else chosen
            return self.select(query, hits, selector=part, limit=asking.limit, min_trust=min_trust, meter=meter)

        def limiting() -> int:
            return source_limit(self.language_model, question, max_tokens)

        asking = PipelineQuestion(
            question,
            k,
            limiting,
            meter,
            self.language_model if reusing is None else cast(LanguageModel, reusing),  # whose attributes are lazy
            max_tokens,
            retrieving,
            selecting,
            None if reusing is None else partial(self._arranged, question, reusing),
        )
        with collected_reports() as reports:
            found = asking.finished((steering or Once()).control(asking))
        reused = trace_of(reports)
        found = replace(found, trace={**found.trace, "selector": chosen.name, **reused})
        if found.citations or not found.trace["kept"]:
            return found
        return replace(found, closest=closest_sentences(question, asking.shown(found), self.embedder.embed_queries))

    def build_cache(self, *, limit: int | None = None) -> Built:
        """Compute the index's chunks ahead for reuse, those shown most lately first, and return what was done.

        At most `limit` chunks, and as many as the store has room for; what is stored already is skipped. Raises
        MissingIndexError, UnsupportedError where the model cannot reuse chunks.
        """
        from ragkit.cachecraft.building import build_chunks

        rows = self.snapshot.live_rows().tolist()
        texts = [stored.chunk.text for stored in self.snapshot.chunks(rows)]
        model = self.reusing_model
        with model.using(self._progress) as session:
            return build_chunks(
                session, texts, domain=model.config.domain, limit=limit, window=model.window, progress=self._progress
            )

    def verify(self) -> VerifyReport:
        """Return the proof that the index is whole, or every problem found."""
        return verify(self.folder)

    def repair(self) -> RepairReport:
        """Mend the index from its ledger, read damaged documents again from their sources, and verify the result."""
        self._release()
        require_index(self.folder)
        with writer_lock(self.folder):
            with IndexWriter(self.folder) as writer:
                self.config = writer.header.config
                done, again = repair_index(writer, self.embedder.embed_chunks)
                committed = writer.commit()
            self._sync_store(committed)
        present = [source for source in again if Path(source).exists()]
        if present:
            self.index(present)
            done.append(f"read {len(present)} sources again")
        after = self.verify()
        return RepairReport(after.generation, tuple(done), after.problems)

    def refresh(self) -> None:
        """Move on to the newest generation of the index."""
        self._release()

    def close(self) -> None:
        """Release the snapshot of the index and the store of chunks, if nobody else uses it; what waits is written."""
        self._release()
        if "reusing_model" in self.__dict__:
            self.reusing_model.release()
            del self.reusing_model

    def __enter__(self) -> Pipeline:
        """Return the pipeline itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pipeline."""
        self.close()

    def _write(self, fill: Callable[[Ingest], None], *, rebuild: bool, skipped: int) -> IndexReport:
        """Run `fill` inside one commit and return the report."""
        started = time.perf_counter()
        self._release()
        if not index_exists(self.folder):
            create_index(self.folder, self._header(uuid.uuid4().hex))
        with writer_lock(self.folder):
            with IndexWriter(self.folder) as writer:
                if rebuild:
                    writer.clear()
                    writer.header = self._header(writer.header.index_id)
                else:
                    check_built_alike(self.folder, writer.header, self._header(writer.header.index_id))
                ingest = Ingest(
                    writer, self.config.loading, lambda: self.chunker, lambda: self.embedder, self._progress
                )
                fill(ingest)
                documents, chunks = writer.count("documents"), writer.count("chunks")
                committed = writer.commit()
            self._sync_store(committed)
        return IndexReport(
            documents=documents,
            chunks=chunks,
            added=ingest.added,
            updated=ingest.updated,
            unchanged=ingest.unchanged,
            removed=ingest.removed,
            failed=tuple(ingest.failed),
            skipped=skipped,
            seconds=time.perf_counter() - started,
            generation=committed.generation,
        )

    def _header(self, index_id: str) -> IndexHeader:
        return IndexHeader(
            index_id=index_id,
            config=self.config,
            embedder_fingerprint=self.embedder.fingerprint,
            chunker_fingerprint=self.chunker.fingerprint,
            dimension=self.embedder.dimension,
        )

    def _reusing(self, wanted: bool | None) -> ReusingLanguageModel | None:
        """Return the model that answers through chunk reuse, None where that is off."""
        on = self.config.kv_reuse is not None if wanted is None else wanted
        return self.reusing_model if on else None

    def _arranged(self, question: str, model: ReusingLanguageModel, selection: Selection) -> Selection:
        """Return the selection in the order of the prompt, once the model is ready to answer through chunk reuse."""
        if not selection.hits:
            return selection
        model.open(self._progress)
        return arranged(question, selection, model.config.order, model.fitting_order)

    def _retriever(self, name: str) -> Retriever:
        if name not in self._retrievers:
            self._retrievers[name] = make_retriever(self.config, name, self.snapshot, self._checked_embedder)
        return self._retrievers[name]

    def _checked_embedder(self) -> Embedder:
        """Return the embedder once it is known to be the one that built the index."""
        check_embedder(self.folder, self.snapshot.header, self.embedder)
        return self.embedder

    def _sync_store(self, committed: Committed) -> None:
        """Bring the vector store, if it is a projection of the ledger, to the generation just committed."""
        if not keeps_projection(self.config):
            return
        with Snapshot(self.folder) as snapshot:
            store = make_store(self.config, snapshot)
            store.sync(snapshot, committed.generation - 1, committed.added, committed.removed)

    def _release(self) -> None:
        self._retrievers.clear()
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None


def chunk_file(
    path: str | Path, config: PipelineConfig | None = None, *, progress: Progress | None = None
) -> Iterator[Chunked]:
    """Yield the documents of one file with their chunks, without any index.

    One that a model failed on comes with the reason (`Chunked.failure`).

    Raises LoadError with the reason if the file cannot be read.
    """
    settings = config or PipelineConfig()
    chunker = make_chunker(settings, make_embedder(settings), progress)

    def documents() -> Iterator[Document]:
        for item in read(Path(path).resolve(), settings.loading):
            if isinstance(item, Failure):
                raise LoadError(f"{item.source}: {item.reason}.", hint="Give a readable document.")
            yield item

    return chunker.chunk(documents())
