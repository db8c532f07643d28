"""Questions with what the retriever found for them, each sentence and chunk marked by whether it holds evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.chunkers.sentences import split_sentences
from ragkit.eval.types import Query
from ragkit.schema import Hit
from ragkit.train.evidence import Span, held

Label = bool | None
"""True: holds evidence; False: does not; None: touches it, so that it is an example of neither."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of one data set, the hits for it, best first, and the labels of their sentences and of them.

    `sentences[h]` are spans of the text of hit h. `evidence` are spans by document: all of it, found or not.
    """

    dataset: str
    query: Query
    hits: tuple[Hit, ...]
    sentences: tuple[tuple[Span, ...], ...]
    labels: tuple[tuple[Label, ...], ...]
    chunk_labels: tuple[Label, ...]
    evidence: dict[str, tuple[Span, ...]]

    @property
    def found(self) -> bool:
        """Whether some sentence holds evidence and some other does not: there is something to learn."""
        flat = [label for own in self.labels for label in own]
        return True in flat and False in flat


def marked(dataset: str, query: Query, hits: Sequence[Hit], evidence: dict[str, tuple[Span, ...]]) -> Asked:
    """Return the question with every sentence and chunk of `hits` marked by `evidence`, spans by document."""
    sentences = tuple(tuple(split_sentences(hit.chunk.text)) for hit in hits)
    labels = tuple(
        tuple(
            held((hit.chunk.start + start, hit.chunk.start + end), evidence.get(hit.chunk.doc_id, ()))
            for start, end in own
        )
        for hit, own in zip(hits, sentences, strict=True)
    )
    chunk_labels = tuple(_chunk_label(own) for own in labels)
    return Asked(dataset, query, tuple(hits), sentences, labels, chunk_labels, evidence)


def _chunk_label(labels: Sequence[Label]) -> Label:
    """Return a chunk's label: that of its best sentence."""
    return True if True in labels else None if None in labels else False
