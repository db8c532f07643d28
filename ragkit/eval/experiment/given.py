"""A user's own questions: JSON lines with a question and the excerpts of the documents that answer it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ragkit.errors import LoadError
from ragkit.eval.datasets.draft import Flaw
from ragkit.eval.datasets.reading import lines, row
from ragkit.eval.experiment.locating import evidence_places
from ragkit.eval.types import EvidenceSpan, Query
from ragkit.schema import Document


class _Own(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Excerpt(_Own):
    """A passage, copied from a document; `source` is the end of its file name, needed if it stands in several."""

    text: str = Field(min_length=1)
    source: str = ""


class Question(_Own):
    """One line: a question, and the excerpts that answer it together; without them, the answer as it is written."""

    question: str = Field(min_length=1)
    evidence: list[str | Excerpt] = Field(default_factory=list)
    answers: list[str] = Field(default_factory=list)
    query_id: str = ""


def given_questions(path: Path, documents: Mapping[str, Document]) -> list[Query]:
    """Return the questions of `path`, their excerpts found in `documents`.

    Raises LoadError naming file and line where a line is malformed, or an excerpt is not in the documents or stands in
    more than one place: a question that is scored against the wrong place would be worse than none.
    """
    found: dict[str, Query] = {}
    for place, content in lines(path):
        try:
            query = _query(row(Question, content), documents, f"q{len(found) + 1}")
            if query.query_id in found:
                raise Flaw("duplicate id", f"the query_id {query.query_id!r} was given before")
        except Flaw as flaw:
            raise LoadError(f"{place}: {flaw.detail}.", hint=flaw.hint) from None
        found[query.query_id] = query
    if not found:
        raise LoadError(f"{path} holds no question.", hint='Write lines like {"question": "...", "evidence": ["..."]}.')
    return list(found.values())


def _query(record: Question, documents: Mapping[str, Document], name: str) -> Query:
    excerpts = [Excerpt(text=item) if isinstance(item, str) else item for item in record.evidence]
    if not excerpts:
        if not record.answers:
            raise Flaw(
                "no evidence",
                f"the question {record.question!r} has neither evidence nor answers",
                "Copy the passage that answers it into `evidence`.",
            )
        excerpts = [Excerpt(text=record.answers[0])]
    spans = tuple(_span(excerpt, documents) for excerpt in excerpts)
    return Query(record.query_id or name, record.question, tuple(record.answers), spans)


def _span(excerpt: Excerpt, documents: Mapping[str, Document]) -> EvidenceSpan:
    found = evidence_places(documents, excerpt.text, excerpt.source)
    if len(found) == 1:
        return found[0]
    shown = f"the excerpt {excerpt.text[:60]!r}"
    if found:
        raise Flaw("ambiguous", f"{shown} stands in {len(found)} places", "Copy more of it, or name its `source`.")
    raise Flaw("not found", f"{shown} is in no document", "Copy it character by character from the document.")
