"""Which sentences and chunks hold a question's evidence, decided by offsets alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ragkit.eval.types import EvidenceSpan, Query
from ragkit.schema import Document

Span = tuple[int, int]
"""`[start, end)` of a document, in code points."""

EXACT = frozenset({"span", "sentence"})
"""Levels at which evidence is as narrow as a sentence; at others it is narrowed to the answer, where that is clear."""
LEAST = 0.5


def exact_evidence(query: Query, documents: Mapping[str, Document]) -> tuple[EvidenceSpan, ...]:
    """Return the evidence of `query` that points at sentences; empty where none does.

    Evidence wider than sentences (paragraphs, documents) is narrowed to the one place in it where a gold answer
    stands. An answer that stands in no such place, or in several, leaves nothing: which one was meant is not known.
    """
    if query.level in EXACT:
        return query.evidence
    found = []
    for span in query.evidence:
        text = documents[span.doc_id].text
        places = {place for answer in query.answers if (place := _only_place(text, span, answer)) is not None}
        found += [EvidenceSpan(span.doc_id, *place, span.grade) for place in sorted(places)]
    return tuple(found)


def _only_place(text: str, within: EvidenceSpan, answer: str) -> Span | None:
    if len(answer.strip()) < 2:
        return None
    start = text.find(answer, within.start, within.end)
    if start < 0 or text.find(answer, start + 1, within.end) >= 0:
        return None
    return start, start + len(answer)


def held(span: Span, evidence: Sequence[Span]) -> bool | None:
    """Return whether `span` holds evidence: half of the span, or half of a piece of evidence, is in the other.

    None where they touch, but less: it is an example of neither.

    >>> held((0, 20), [(5, 9)]), held((0, 20), [(18, 60)]), held((0, 20), [(20, 60)])
    (True, None, False)
    """
    start, end = span
    touched = False
    for first, last in evidence:
        common = min(end, last) - max(start, first)
        if common <= 0:
            continue
        touched = True
        if common >= LEAST * min(end - start, last - first):
            return True
    return None if touched else False
