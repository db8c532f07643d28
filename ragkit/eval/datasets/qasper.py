"""QASPER JSON (Dasigi et al. 2021, arXiv:2105.03011): papers with questions of several annotators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ragkit.eval.datasets.draft import Claim, Draft, Flaw
from ragkit.eval.datasets.reading import ForeignRow, expect, json_file, row
from ragkit.eval.datasets.verify import clipped

_BREAK = "\n\n"
_FLOAT = "FLOAT SELECTED"
"""How evidence begins that is a figure or table: its caption, which is no part of the paper's text."""


class Section(ForeignRow):
    """A section; the name of a subsection is "A ::: B"."""

    paragraphs: list[str]
    section_name: str | None = None


class Answer(ForeignRow):
    """One annotator's answer; evidence is whole paragraphs."""

    unanswerable: bool = False
    extractive_spans: list[str] = Field(default_factory=list)
    yes_no: bool | None = None
    free_form_answer: str = ""
    evidence: list[str] = Field(default_factory=list)


class Annotation(ForeignRow):
    """What one annotator wrote."""

    answer: Answer


class Question(ForeignRow):
    """One question about a paper."""

    question: str
    question_id: str
    answers: list[Annotation] = Field(default_factory=list)


class Paper(ForeignRow):
    """One paper; its questions are checked one by one."""

    title: str
    full_text: list[Section]
    abstract: str = ""
    qas: list[Any] = Field(default_factory=list)


def read(source: str, draft: Draft) -> None:
    """Fill `draft`: a document is a paper, a question's scope is its paper, evidence is paragraphs.

    The evidence is that of the first annotator who found all of it in the text; a question for which every answering
    annotator needed a figure or table is flawed. Unanswerable is what no annotator could answer.
    """
    papers = expect(json_file(Path(source)), dict, source, "an object of papers by id")
    for paper_id, item in papers.items():
        place = f"{source}: {paper_id}"
        with draft.record(place):
            add_paper(draft, paper_id, row(Paper, item), place)


def add_paper(draft: Draft, paper_id: str, paper: Paper, place: str) -> None:
    """Add the document of `paper` and its questions, each a record of its own."""
    text, spans = _text(paper)
    draft.add_document(paper_id, text, {"title": paper.title})
    for number, item in enumerate(paper.qas):
        with draft.record(f"{place}.qas[{number}]"):
            _add_question(draft, row(Question, item), paper_id, spans)


def _text(paper: Paper) -> tuple[str, dict[str, tuple[int, int]]]:
    """Return the paper's text, parts joined by a blank line, and the first span of every part."""
    parts = [paper.title, paper.abstract]
    for section in paper.full_text:
        parts += [section.section_name or "", *section.paragraphs]
    text = ""
    spans: dict[str, tuple[int, int]] = {}
    for part in filter(str.strip, parts):
        text += _BREAK if text else ""
        spans.setdefault(part.strip(), (len(text), len(text) + len(part.strip())))
        text += part.strip()
    return text, spans


def _add_question(draft: Draft, question: Question, paper_id: str, spans: dict[str, tuple[int, int]]) -> None:
    answering = [note.answer for note in question.answers if not note.answer.unanswerable]
    evidence: list[Claim] = []
    if answering:
        evidence = _first_complete(answering, paper_id, spans)
    draft.add_query(
        question.question_id,
        question.question,
        answers=list(dict.fromkeys(_answer_text(answer) for answer in answering)),
        evidence=evidence,
        level="paragraph" if evidence else "none",
        answerable=bool(answering) or not question.answers,
        scope=paper_id,
        meta={"annotators": len(question.answers), "found_unanswerable": len(question.answers) - len(answering)},
    )


def _first_complete(answers: Sequence[Answer], paper_id: str, spans: dict[str, tuple[int, int]]) -> list[Claim]:
    """Return the first annotator's evidence that is wholly in the text; raise Flaw if there is none."""
    missing = ""
    for answer in answers:
        paragraphs = list(dict.fromkeys(part.strip() for part in answer.evidence if part.strip()))
        absent = [part for part in paragraphs if part not in spans]
        if paragraphs and not absent:
            return [Claim(paper_id, *spans[part], part) for part in paragraphs]
        missing = missing or next(iter(absent), "")
    if missing.startswith(_FLOAT):
        raise Flaw("evidence is a figure or table", f"the evidence {clipped(missing)} is no part of the text")
    if missing:
        raise Flaw("evidence is not a paragraph of the paper", f"the evidence {clipped(missing)} is not in the text")
    return []


def _answer_text(answer: Answer) -> str:
    """Return the answer as QASPER's own scorer words it."""
    if answer.extractive_spans:
        return ", ".join(answer.extractive_spans)
    if answer.free_form_answer:
        return answer.free_form_answer
    return {True: "Yes", False: "No", None: ""}[answer.yes_no]
