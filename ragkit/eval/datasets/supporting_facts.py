"""What HotpotQA and 2WikiMultihopQA share: titled paragraphs of sentences, and supporting facts that point at them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, field_validator

from ragkit.eval.datasets.draft import Claim, Draft, Flaw
from ragkit.eval.datasets.reading import ForeignRow, expect, json_file
from ragkit.eval.datasets.verify import clipped


class Paragraph(NamedTuple):
    """A titled paragraph, by sentences."""

    title: str
    sentences: list[str]


class Fact(NamedTuple):
    """A sentence that supports the answer."""

    title: str
    sentence: int


class MultiHopRow(ForeignRow):
    """One question with its paragraphs; the test sets have neither answer nor facts."""

    id: str = Field(alias="_id")
    question: str
    context: list[Paragraph]
    answer: str | None = None
    supporting_facts: list[Fact] = Field(default_factory=list)
    type: str = ""

    @field_validator("context", "supporting_facts", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        """Accept the hub's columns {"title": [...], "sentences": [...]} as well as the published pairs."""
        if isinstance(value, dict) and len(value) == 2 and "title" in value:
            other = next(column for key, column in value.items() if key != "title")
            value = list(zip(value["title"], other, strict=True))
        return [tuple(pair) if isinstance(pair, list) else pair for pair in value] if isinstance(value, list) else value


def records(source: str) -> list[tuple[str, Any]]:
    """Return (place, record) for each question of the file."""
    content = expect(json_file(Path(source)), list, source, "a list of questions")
    return [(f"{source}: [{number}]", item) for number, item in enumerate(content)]


def add_question(draft: Draft, record: MultiHopRow, meta: dict[str, Any]) -> None:
    """Add the paragraphs (once for the whole set) and the question; evidence is each supporting sentence."""
    held = [_added(draft, paragraph) for paragraph in record.context]
    claims = [_claim(record.context, held, fact) for fact in dict.fromkeys(record.supporting_facts)]
    draft.add_query(
        record.id,
        record.question,
        answers=[record.answer] if record.answer else [],
        evidence=claims,
        level="sentence" if claims else "none",
        meta={"ctx_doc_ids": held, "type": record.type, **meta},
    )


def _added(draft: Draft, paragraph: Paragraph) -> str:
    """Return the id of the document with this title and text, added if new."""
    text = joined(paragraph.sentences)[0]
    doc_id, number = paragraph.title, 1
    while doc_id in draft.documents:
        if draft.documents[doc_id].text == text:
            return doc_id
        number += 1
        doc_id = f"{paragraph.title} ({number})"
    draft.add_document(doc_id, text, {"title": paragraph.title})
    return doc_id


def joined(sentences: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return the paragraph's text and the span of each sentence without the white space around it.

    HotpotQA's sentences bring their leading space along, 2Wiki's do not: one is put in where both sides lack it.

    >>> joined(["One.", " Two.", "Three."])
    ('One. Two. Three.', [(0, 4), (5, 9), (10, 16)])
    """
    text, spans = "", []
    for sentence in sentences:
        if text and sentence and not (text[-1].isspace() or sentence[0].isspace()):
            text += " "
        start = len(text) + len(sentence) - len(sentence.lstrip())
        text += sentence
        spans.append((start, max(start, len(text.rstrip()))))
    return text, spans


def _claim(context: Sequence[Paragraph], held: Sequence[str], fact: Fact) -> Claim:
    for paragraph, doc_id in zip(context, held, strict=True):
        if paragraph.title == fact.title:
            if 0 <= fact.sentence < len(paragraph.sentences):
                start, end = joined(paragraph.sentences)[1][fact.sentence]
                return Claim(doc_id, start, end, paragraph.sentences[fact.sentence].strip())
            raise Flaw(
                "supporting fact out of range",
                f"the supporting fact [{clipped(fact.title)}, {fact.sentence}] is out of range; that paragraph has "
                f"{len(paragraph.sentences)} sentences, counted from 0",
            )
    raise Flaw("unknown document", f"no paragraph of the context is titled {clipped(fact.title)}")
