"""What became of every chunk of a batch, and the chunks as they leave an enricher: same spans, same texts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragkit.errors import RagkitWarning
from ragkit.schema import Chunk, Chunked, MetadataValue

FAILED = "enrichment"
"""The metadata of a chunk that is not enriched because the model failed on its document: "failed: summary: ...\""""


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk to ask about: the numbers of its document in the batch and of the chunk in it, and the two texts."""

    document: int
    chunk: int
    shown: str
    """What the model is shown of the document."""
    text: str


class Outcome:
    """Collects new index texts and notes by chunk; chunks nobody mentions leave as they came."""

    def __init__(self, name: str, batch: Sequence[Chunked]) -> None:
        """Begin with `batch` as it is; `name` begins the metadata keys."""
        self._name = name
        self._batch = batch
        self._texts: dict[tuple[int, int], str] = {}
        self._notes: dict[tuple[int, int], dict[str, MetadataValue]] = {}
        self._failures: dict[int, str] = {}

    def note(self, document: int, chunk: int, status: str) -> None:
        """Say in the metadata NAME_status what became of a chunk."""
        self._notes.setdefault((document, chunk), {})[f"{self._name}_status"] = status

    def record(self, passage: Passage, **values: MetadataValue) -> None:
        """Add metadata NAME_key to a chunk."""
        named = {f"{self._name}_{key}": value for key, value in values.items()}
        self._notes.setdefault((passage.document, passage.chunk), {}).update(named)

    def add(self, passage: Passage, index_text: str, status: str) -> None:
        """Give a chunk its new `index_text`."""
        self._texts[passage.document, passage.chunk] = index_text
        self.note(passage.document, passage.chunk, status)

    def fail(self, document: int, reason: str) -> None:
        """Say that a document cannot be enriched; its first reason stays."""
        self._failures.setdefault(document, reason)

    def failed(self, document: int) -> bool:
        """Return whether the model failed on a document."""
        return document in self._failures

    def counts(self) -> dict[str, int]:
        """Return how many chunks have each kind of status (what stands before its colon)."""
        found: dict[str, int] = {}
        for notes in self._notes.values():
            kind = str(notes.get(f"{self._name}_status", "")).partition(":")[0]
            found[kind] = found.get(kind, 0) + 1
        return found

    def chunked(self, *, required: bool) -> list[Chunked]:
        """Return the batch, enriched.

        A document on which the model failed keeps its chunks, with the reason in their metadata and in a
        RagkitWarning; with `required` it has no chunks and the reason as its failure.
        """
        out: list[Chunked] = []
        for number, item in enumerate(self._batch):
            reason = self._failures.get(number)
            if reason is None:
                chunks = [self._enriched(number, place, chunk) for place, chunk in enumerate(item.chunks)]
                out.append(Chunked(item.document, chunks, item.failure))
            elif required:
                out.append(Chunked(item.document, [], f"{self._name}: {reason}"))
            else:
                out.append(
                    Chunked(item.document, [_marked(chunk, f"failed: {self._name}: {reason}") for chunk in item.chunks])
                )
        if self._failures and not required:
            self._warn()
        return out

    def _enriched(self, document: int, place: int, chunk: Chunk) -> Chunk:
        notes = self._notes.get((document, place))
        if notes is None:
            return chunk
        index_text = self._texts.get((document, place), chunk.index_text)
        return replace(chunk, index_text=index_text, metadata={**chunk.metadata, **notes})

    def _warn(self) -> None:
        number, reason = next(iter(self._failures.items()))
        count = len(self._failures)
        which = "1 document is" if count == 1 else f"{count} documents are"
        warnings.warn(
            f"{which} indexed without {self._name}, because the model failed: "
            f"{self._batch[number].document.source}: {reason}",
            RagkitWarning,
            stacklevel=4,
        )


def _marked(chunk: Chunk, status: str) -> Chunk:
    before = chunk.metadata.get(FAILED)
    return replace(chunk, metadata={**chunk.metadata, FAILED: f"{before}; {status}" if before else status})
