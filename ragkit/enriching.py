"""A chunker whose chunks pass through enrichers before they are embedded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ragkit.errors import ContractError
from ragkit.identity import content_hash
from ragkit.protocols import Chunker, Enricher, Gaps, Progress
from ragkit.schema import Chunked, Document

BATCH_CHUNKS = 256
BATCH_CHARACTERS = 1 << 21
BATCH_DOCUMENTS = 256
"""Documents are held until they have this many chunks or characters, or are this many: models see full batches."""


class EnrichedChunker:
    """A `Chunker` that cuts as another one does and then enriches; to whoever indexes it is one part.

    Its fingerprint is that of the chunker and of the enrichers in their order. Raises ContractError where an enricher
    changes, loses or reorders documents, spans or texts.
    """

    gaps: Gaps

    def __init__(self, chunker: Chunker, enrichers: Sequence[Enricher], progress: Progress | None = None) -> None:
        """Run `enrichers` in this order over the chunks of `chunker`."""
        self.chunker = chunker
        self._enrichers = tuple(enrichers)
        self._progress = progress
        self.name = "+".join([chunker.name, *(enricher.name for enricher in enrichers)])
        self.gaps = chunker.gaps
        self.fingerprint = content_hash(
            "enriched chunker",
            chunker=chunker.fingerprint,
            enrichers=[enricher.fingerprint for enricher in enrichers],
        )

    @property
    def unmapped(self) -> int:
        """Pieces that the chunker could not find in their document; only chunkers of other libraries have them."""
        return int(getattr(self.chunker, "unmapped", 0))

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its enriched chunks, in order."""
        batch: list[Chunked] = []
        chunks = characters = 0
        for chunked in self.chunker.chunk(documents):
            batch.append(chunked)
            chunks += len(chunked.chunks)
            characters += len(chunked.document.text)
            if chunks >= BATCH_CHUNKS or characters >= BATCH_CHARACTERS or len(batch) >= BATCH_DOCUMENTS:
                yield from self._enriched(batch)
                batch, chunks, characters = [], 0, 0
        if batch:
            yield from self._enriched(batch)

    def _enriched(self, batch: list[Chunked]) -> list[Chunked]:
        for enricher in self._enrichers:
            before, batch = batch, enricher.enrich(batch, self._progress)
            _check_unchanged(enricher.name, before, batch)
        return batch


def _check_unchanged(name: str, before: Sequence[Chunked], after: Sequence[Chunked]) -> None:
    if [chunked.document for chunked in before] != [chunked.document for chunked in after]:
        raise ContractError(f"The enricher {name!r} returned other documents than it was given, or another order.")
    for old, new in zip(before, after, strict=True):
        if new.failure is not None and not new.chunks:
            continue
        spans, others = (
            [(chunk.doc_id, chunk.start, chunk.end, chunk.text) for chunk in item.chunks] for item in (old, new)
        )
        if spans != others:
            raise ContractError(
                f"The enricher {name!r} changed the chunks of {old.document.source}; it may change index_text and "
                "metadata only."
            )
