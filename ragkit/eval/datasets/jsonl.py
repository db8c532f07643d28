"""ragkit's own format: a folder with corpus.jsonl and queries.jsonl, plain or gzip; segmentation sets lack queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ragkit.errors import LoadError
from ragkit.eval.datasets.draft import Claim, Draft
from ragkit.eval.datasets.reading import lines, row


class _Own(BaseModel):
    # Unknown fields are refused: "answer" for "answers" would otherwise score every answer as missing.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Segment(_Own):
    """A gold segment; the title is not used."""

    start: int
    end: int
    title: str = ""


class CorpusRecord(_Own):
    """One line of corpus.jsonl."""

    doc_id: str
    text: str
    title: str = ""
    segments: list[Segment] = Field(default_factory=list)
    meta: dict[str, Any] = Field(default_factory=dict)


class Evidence(_Own):
    """One evidence span; `text`, where given, must equal the document's."""

    doc_id: str
    start: int
    end: int
    text: str | None = None
    grade: float = 1.0


class QueryRecord(_Own):
    """One line of queries.jsonl."""

    query_id: str
    question: str
    answers: list[str] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    meta: dict[str, Any] = Field(default_factory=dict)


def read(source: str, draft: Draft) -> None:
    """Fill `draft` from the folder `source`."""
    folder = Path(source)
    corpus = _part(folder, "corpus")
    if corpus is None:
        raise LoadError(
            f"{folder}: it holds no corpus.jsonl or corpus.jsonl.gz.", hint="Give the folder that holds the corpus."
        )
    for place, line in lines(corpus):
        with draft.record(place):
            document = row(CorpusRecord, line)
            meta = {"title": document.title, **document.meta} if document.title else document.meta
            spans = [(segment.start, segment.end) for segment in document.segments]
            draft.add_document(document.doc_id, document.text, meta, spans)
    queries = _part(folder, "queries")
    for place, line in lines(queries) if queries else ():
        with draft.record(place):
            query = row(QueryRecord, line)
            claims = [Claim(item.doc_id, item.start, item.end, item.text, item.grade) for item in query.evidence]
            draft.add_query(query.query_id, query.question, answers=query.answers, evidence=claims, meta=query.meta)


def _part(folder: Path, part: str) -> Path | None:
    """Return the file of one part; raise LoadError where there are two, because nothing says which one counts."""
    found = [path for ending in ("", ".gz") if (path := folder / f"{part}.jsonl{ending}").is_file()]
    if len(found) > 1:
        raise LoadError(f"{folder}: found {part}.jsonl and {part}.jsonl.gz; expected one.", hint="Remove one of them.")
    return found[0] if found else None
