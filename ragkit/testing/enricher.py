"""`check_enricher`: proof that an enricher changes nothing but what is searched, or the first place where it does."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.errors import ContractError
from ragkit.protocols import Enricher
from ragkit.schema import Chunk, Chunked, Document

_TEXTS = (
    "Ada Lovelace was born in London in 1815. She wrote notes about the analytical engine. It was never built.",
    "One.",
    "",
    "机器学习是人工智能的一个分支。它研究什么？研究算法！",
    "👩‍👩‍👧‍👦 came home.\x00 They\u2028slept. 'Why?' No one—no one at all—knows.",
)


def check_enricher(enricher: Enricher, batch: Sequence[Chunked] | None = None) -> None:
    """Return if `enricher` keeps its contract on `batch` (by default on small documents cut into pieces).

    Checked: documents come out as they came in, with the same spans and texts; a document that failed has a reason and
    no chunks; one without chunks passes; `index_text` holds words and metadata hold plain values; results are the same
    again and do not depend on the other documents; the fingerprint stays; nothing comes out of nothing.

    Raises ContractError that names the document and the first violation.
    """
    for attribute in ("name", "fingerprint"):
        if not isinstance(getattr(enricher, attribute, None), str) or not getattr(enricher, attribute):
            raise ContractError(f"{attribute} is {getattr(enricher, attribute, None)!r}; expected a non-empty string.")
    given = sample_batch() if batch is None else list(batch)
    fingerprint = enricher.fingerprint
    first = enricher.enrich(given)
    if len(first) != len(given):
        raise ContractError(f"{len(first)} documents came out of {len(given)}.")
    for before, after in zip(given, first, strict=True):
        _check_document(before, after)
    if list(enricher.enrich([])) != []:
        raise ContractError("An empty batch did not come out empty.")
    _check_same(first, enricher.enrich(given), "a second run")
    _check_same(first, [enricher.enrich([chunked])[0] for chunked in given], "a run on the document alone")
    if enricher.fingerprint != fingerprint:
        raise ContractError(f"fingerprint changed from {fingerprint!r} to {enricher.fingerprint!r} while enriching.")


def sample_batch() -> list[Chunked]:
    """Return small documents in pieces, with an empty one and one that failed before."""
    documents = [Document(text, source=f"sample {number}") for number, text in enumerate(_TEXTS)]
    failed = Chunked(Document("It could not be cut.", source="sample that failed"), [], "could not be cut")
    return [*(Chunked(document, _thirds(document)) for document in documents), failed]


def _thirds(document: Document) -> list[Chunk]:
    length = len(document.text)
    step = max(1, -(-length // 3))
    return [Chunk.of(document, start, min(start + step, length)) for start in range(0, length, step)]


def _check_document(before: Chunked, after: Chunked) -> None:
    source = before.document.source
    if after.document != before.document:
        raise ContractError(f"{after.document.source} came out where {source} was due.")
    if after.failure is not None:
        if after.chunks or not after.failure:
            raise ContractError(f"{source}: a failed document needs a reason and has no chunks.")
        return
    if before.failure is not None:
        raise ContractError(f"{source}: its failure {before.failure!r} was lost.")
    for place, (old, new) in enumerate(zip(before.chunks, after.chunks, strict=False)):
        label = f"{source}, chunk {place} [{old.start}, {old.end})"
        if (new.doc_id, new.start, new.end, new.text) != (old.doc_id, old.start, old.end, old.text):
            raise ContractError(f"{label}: document, span or text changed; only index_text and metadata may.")
        if old.text.strip() and not new.index_text.strip():
            raise ContractError(f"{label}: index_text holds no word.")
        lost = [key for key in old.metadata if key not in new.metadata]
        if lost:
            raise ContractError(f"{label}: the metadata {lost[0]!r} were lost.")
        for key, value in new.metadata.items():
            if not isinstance(value, str | int | float | bool | None):
                raise ContractError(f"{label}: the metadata {key!r} are {value!r}; expected text, a number or None.")
    if len(after.chunks) != len(before.chunks):
        raise ContractError(f"{source}: {len(after.chunks)} chunks came out of {len(before.chunks)}.")


def _check_same(first: Sequence[Chunked], second: Sequence[Chunked], what: str) -> None:
    for one, other in zip(first, second, strict=True):
        if (list(one.chunks), one.failure) != (list(other.chunks), other.failure):
            raise ContractError(f"{one.document.source}: {what} gave another result.")
