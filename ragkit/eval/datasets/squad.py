"""SQuAD JSON, versions 1.1 and 2.0 (arXiv:1606.05250, arXiv:1806.03822), and what borrows its shape (CMRC, XQuAD)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic import Field

from ragkit.eval.datasets.draft import Claim, Draft, Flaw
from ragkit.eval.datasets.reading import ForeignRow, expect, json_file, row
from ragkit.eval.datasets.verify import clipped

_BREAK = "\n\n"


class Answer(ForeignRow):
    """An answer with its offset into the paragraph."""

    text: str
    answer_start: int


class Question(ForeignRow):
    """One question of a paragraph."""

    id: str | int
    question: str
    answers: list[Answer] = Field(default_factory=list)
    is_impossible: bool = False


class Paragraph(ForeignRow):
    """One paragraph with its questions, which are checked one by one."""

    context: str
    qas: list[Any]


class Article(ForeignRow):
    """One article."""

    paragraphs: list[Paragraph]
    title: str = ""


def read(source: str, draft: Draft) -> None:
    """Fill `draft`: a document is an article, its paragraphs joined by a blank line; evidence is the answer's span.

    With several annotators, the first answer that stands at its offset is the evidence and the others are in
    `meta.answer_spans`; a question none of whose answers does is flawed.
    """
    path = Path(source)
    content = expect(json_file(path), dict, source, "an object with the list 'data'")
    for number, item in enumerate(expect(content.get("data"), list, f"{source}: data", "a list of articles")):
        with draft.record(f"{source}: data[{number}]"):
            add_article(draft, row(Article, item), f"{source}: data[{number}]", number)


def add_article(draft: Draft, article: Article, place: str, number: int) -> None:
    """Add the document of `article` and its questions, each a record of its own."""
    texts = [paragraph.context for paragraph in article.paragraphs]
    doc_id = draft.free_id(article.title or f"article {number}")
    draft.add_document(doc_id, _BREAK.join(texts), {"title": article.title})
    starts = accumulate((len(text) + len(_BREAK) for text in texts), initial=0)
    for index, (paragraph, start) in enumerate(zip(article.paragraphs, starts, strict=False)):
        for position, item in enumerate(paragraph.qas):
            with draft.record(f"{place}.paragraphs[{index}].qas[{position}]"):
                _add_question(draft, row(Question, item), doc_id, paragraph.context, start)


def _add_question(draft: Draft, question: Question, doc_id: str, context: str, start: int) -> None:
    paragraph = {"start": start, "end": start + len(context)}
    if question.is_impossible:
        asked_of = {"doc_id": doc_id, **paragraph}
        draft.add_query(
            str(question.id), question.question, answerable=False, meta={"asked_of": asked_of}, level="none"
        )
        return
    answers = list(dict.fromkeys(answer.text for answer in question.answers))
    spans = list(dict.fromkeys(_spans(context, question.answers, start)))
    if question.answers and not spans:
        first = question.answers[0]
        found = context[max(0, first.answer_start) :][: len(first.text)]
        raise Flaw(
            "text is not at its span",
            f"answer_start {first.answer_start} gives {clipped(found)}; expected {clipped(first.text)}",
        )
    evidence = [Claim(doc_id, *spans[0])] if spans else []
    meta: dict[str, Any] = {
        "paragraph": paragraph,
        "answer_spans": [{"start": a, "end": b, "text": text} for a, b, text in spans],
    }
    draft.add_query(str(question.id), question.question, answers=answers, evidence=evidence, meta=meta)


def _spans(context: str, answers: Sequence[Answer], start: int) -> list[tuple[int, int, str]]:
    """Return the document spans of those answers that stand where they say."""
    return [
        (start + answer.answer_start, start + answer.answer_start + len(answer.text), answer.text)
        for answer in answers
        if answer.text.strip() and answer.answer_start >= 0 and context.startswith(answer.text, answer.answer_start)
    ]
