"""Variants of a data set: documents left out or aimed at questions, some questions only, trust in sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ragkit.errors import UsageError
from ragkit.eval.datasets.fingerprint import fingerprint
from ragkit.eval.experiment.specification import SourceTrust
from ragkit.eval.types import EvalSet, Query
from ragkit.identity import content_hash
from ragkit.plugins import suggestion
from ragkit.schema import Document

Wanted = Mapping[str, Any]
"""Metadata key -> the value, or a list of values of which any will do; all keys must agree."""


def matching(metadata: Mapping[str, Any], wanted: Wanted) -> bool:
    """Return whether `metadata` have what is wanted.

    >>> matching({"kind": "b", "poison": True}, {"kind": ["a", "b"], "poison": True})
    True
    """
    return all(
        key in metadata and metadata[key] in (value if isinstance(value, list) else [value])
        for key, value in wanted.items()
    )


def without_documents(evalset: EvalSet, wanted: Wanted) -> EvalSet:
    """Return `evalset` without the documents whose metadata match `wanted`, and the evidence in them.

    A question that loses its evidence stays, with its answers; one that is asked of such a document goes with it.
    Raises UsageError where no document, or every one, matches.
    """
    gone = {doc_id for doc_id, document in evalset.documents.items() if matching(document.metadata, wanted)}
    if not gone or len(gone) == len(evalset.documents):
        raise _no_match("documents", wanted, len(gone), (one.metadata for one in evalset.documents.values()))
    queries = [_remaining(query, gone) for query in evalset.queries if query.scope not in gone]
    lost = len(evalset.queries) - len(queries)
    notes = [f"{len(gone)} documents with {dict(wanted)}, as asked"]
    notes += [f"{lost} questions asked of them"] if lost else []
    return _made(
        evalset,
        documents={doc_id: document for doc_id, document in evalset.documents.items() if doc_id not in gone},
        queries=tuple(queries),
        segments={doc_id: spans for doc_id, spans in evalset.segments.items() if doc_id not in gone},
        dropped=(*evalset.dropped, *notes),
    )


def with_questions(evalset: EvalSet, wanted: Wanted) -> EvalSet:
    """Return `evalset` with the questions whose meta match `wanted` alone; raise UsageError where none does."""
    queries = tuple(query for query in evalset.queries if matching(query.meta, wanted))
    if not queries:
        raise _no_match("questions", wanted, 0, (query.meta for query in evalset.queries))
    return _made(evalset, queries=queries)


TARGET = "target_query"
"""Metadata of a document that is aimed at a question: the question's id."""


def with_prefix(evalset: EvalSet, wanted: Wanted) -> EvalSet:
    """Return `evalset` with the question in front of each document that is aimed at it and whose metadata match.

    The question is the one whose id the metadata `target_query` holds; it stands there with a full stop and no space,
    as PoisonedRAG (arXiv 2402.07867, S + I) inserts its texts without access to the retriever. Evidence and gold
    segments in such documents move along; the first segment takes it in. Raises UsageError where no document matches,
    or one is aimed at no question.
    """
    questions = {query.query_id: query.question.strip() + "." for query in evalset.queries}
    chosen = {doc_id: one for doc_id, one in evalset.documents.items() if matching(one.metadata, wanted)}
    if not chosen:
        raise _no_match("documents", wanted, 0, (one.metadata for one in evalset.documents.values()))
    prefixes = {doc_id: questions.get(str(one.metadata.get(TARGET))) for doc_id, one in chosen.items()}
    aimless = [doc_id for doc_id, prefix in prefixes.items() if prefix is None]
    if aimless:
        raise UsageError(
            f"{len(aimless)} of {len(chosen)} documents with the metadata {dict(wanted)!r} are aimed at no question, "
            f"for instance {aimless[0]!r}: {TARGET} is {chosen[aimless[0]].metadata.get(TARGET)!r}.",
            hint=f"Each needs the id of one of the {len(questions)} questions in its metadata {TARGET!r}.",
        )
    by = {doc_id: len(prefix or "") for doc_id, prefix in prefixes.items()}
    return _made(
        evalset,
        documents={
            doc_id: replace(one, text=f"{prefixes[doc_id]}{one.text}") if doc_id in by else one
            for doc_id, one in evalset.documents.items()
        },
        queries=tuple(_moved(query, by) for query in evalset.queries),
        segments={
            doc_id: tuple((start and start + by.get(doc_id, 0), end + by.get(doc_id, 0)) for start, end in spans)
            for doc_id, spans in evalset.segments.items()
        },
    )


def with_trust(evalset: EvalSet, trust: SourceTrust, seed: int) -> EvalSet:
    """Return `evalset` with the metadata `trust` at every document: 0 for those of `low`, 1 for the others.

    The share `wrong` of the documents, drawn by `seed`, has it the other way round: sources are never known so well.
    Raises UsageError where no document matches `low`.
    """
    low = {doc_id for doc_id, document in evalset.documents.items() if matching(document.metadata, trust.low)}
    if not low:
        raise _no_match("documents", trust.low, 0, (one.metadata for one in evalset.documents.values()))
    lots = sorted(evalset.documents, key=lambda doc_id: content_hash("trust", seed=seed, document=doc_id))
    wrong = set(lots[: round(trust.wrong * len(lots))])
    documents = {
        doc_id: _trusted(document, float((doc_id in low) == (doc_id in wrong)))
        for doc_id, document in evalset.documents.items()
    }
    return _made(evalset, documents=documents)


def _trusted(document: Document, value: float) -> Document:
    return replace(document, metadata={**document.metadata, "trust": value})


def _moved(query: Query, by: Mapping[str, int]) -> Query:
    """Return `query` with its evidence as many places later as `by` says of the documents."""
    if not any(span.doc_id in by for span in query.evidence):
        return query
    spans = (replace(one, start=one.start + by.get(one.doc_id, 0), end=one.end + by.get(one.doc_id, 0))
             for one in query.evidence)  # fmt: skip
    return replace(query, evidence=tuple(spans))


def _remaining(query: Query, gone: set[str]) -> Query:
    return replace(query, evidence=tuple(span for span in query.evidence if span.doc_id not in gone))


def _made(evalset: EvalSet, **changes: Any) -> EvalSet:
    made = replace(evalset, **changes)
    return replace(made, fingerprint=fingerprint(made))


def _no_match(what: str, wanted: Wanted, matched: int, given: Iterable[Mapping[str, Any]]) -> UsageError:
    seen = list(given)
    valid = sorted({key for one in seen for key in one})
    wrong = next((key for key in wanted if key not in valid), "")
    near = suggestion(wrong, valid) if wrong else ""
    return UsageError(
        f"{matched} of {len(seen)} {what} have the metadata {dict(wanted)!r}; expected some, and not all.",
        hint=f"{near} Their metadata have: {', '.join(valid) or 'nothing'}.".lstrip(),
    )
