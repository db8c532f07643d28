"""Rows of a hub data set to questions: known shapes by their columns, any other by the columns that the user names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from ragkit.errors import ConfigError, LoadError
from ragkit.eval.datasets.draft import Claim, Draft, Flaw
from ragkit.eval.datasets.hotpotqa import HotpotRow
from ragkit.eval.datasets.longbench import LongBenchRow, add_record
from ragkit.eval.datasets.longbench_v2 import LongBenchV2Row
from ragkit.eval.datasets.longbench_v2 import add_record as add_choices
from ragkit.eval.datasets.qasper import Paper, add_paper
from ragkit.eval.datasets.reading import row
from ragkit.eval.datasets.squad import Article, add_article
from ragkit.eval.datasets.supporting_facts import add_question
from ragkit.identity import content_hash
from ragkit.plugins import suggestion


class Columns(NamedTuple):
    """The columns that hold each thing; empty where the user named none."""

    question: str = ""
    answers: str = ""
    context: str = ""
    identifier: str = ""


AddRow = Callable[[Draft, dict[str, Any], int], None]


def add_rows(draft: Draft, rows: Iterable[Mapping[str, Any]], columns: Columns, place: str) -> None:
    """Add every row; raise LoadError where neither its shape is known nor its columns are named."""
    remaining = map(dict[str, Any], rows)
    first = next(remaining, None)
    if first is None:
        return
    if any(columns):
        add = _named(columns, first, place)
    elif {"context", "question", "answers"} <= first.keys() and _has_offsets(first["answers"]):
        _add_squad(draft, chain([first], remaining), place)
        return
    else:
        add = _known(set(first), place)
    for number, item in enumerate(chain([first], remaining)):
        with draft.record(f"{place}: row {number}"):
            try:
                add(draft, item, number)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise Flaw(
                    "malformed record", f"it is not of the shape of the first row: {type(error).__name__}: {error}"
                ) from None


def _has_offsets(answers: Any) -> bool:
    """Return whether answers are SQuAD's: texts with their offsets, as an object of lists or a list of objects."""
    if isinstance(answers, list):
        return bool(answers) and isinstance(answers[0], dict) and "answer_start" in answers[0]
    return isinstance(answers, dict)


def _known(found: set[str], place: str) -> AddRow:
    if {"question", "context", "supporting_facts"} <= found:
        return _add_hotpot
    if {"full_text", "qas", "title"} <= found:
        return lambda draft, item, number: _add_qasper(draft, item, f"{place}: row {number}")
    if {"question", "context", "answer", "choice_A", "choice_B", "choice_C", "choice_D"} <= found:
        return lambda draft, item, _: add_choices(draft, row(LongBenchV2Row, item))
    if {"input", "context", "answers"} <= found:
        return lambda draft, item, _: add_record(draft, row(LongBenchRow, item), item.get("dataset") or draft.name)
    raise LoadError(
        f"{place}: the shape of its rows is not known; found the columns {', '.join(sorted(found))}.",
        hint="Name them, as in hub:NAME?question=COLUMN&context=COLUMN&answers=COLUMN.",
    )


def _add_hotpot(draft: Draft, item: dict[str, Any], _: int) -> None:
    item = {**item, "_id": str(item.get("id", item.get("_id")))}
    for column, second in (("context", "sentences"), ("supporting_facts", "sent_id")):
        if item[column] and isinstance(item[column], list) and isinstance(item[column][0], dict):
            item[column] = [[pair["title"], pair[second]] for pair in item[column]]
    record = row(HotpotRow, item)
    add_question(draft, record, {"difficulty": record.level})


def _add_qasper(draft: Draft, item: dict[str, Any], place: str) -> None:
    """Turn the hub's columns of lists back into QASPER's lists of objects."""
    questions = [
        {**question, "answers": [{"answer": answer["answer"]} for answer in _objects(question["answers"])]}
        for question in _objects(item["qas"])
    ]
    paper = row(Paper, {**item, "full_text": _objects(item["full_text"]), "qas": questions})
    add_paper(draft, str(item["id"]), paper, place)


def _objects(columns: dict[str, list[Any]] | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return objects, from their columns where the package has turned a list of objects into an object of lists."""
    if isinstance(columns, list):
        return columns
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _add_squad(draft: Draft, rows: Iterable[dict[str, Any]], place: str) -> None:
    """Put SQuAD's flat rows back into articles: rows of one title, paragraphs in order of first appearance."""
    articles: dict[str, dict[str, list[Any]]] = {}
    for number, item in enumerate(rows):
        given = item["answers"]
        try:
            answers = [{"text": one["text"], "answer_start": one["answer_start"]} for one in _objects(given)]
        except (KeyError, TypeError, ValueError):
            with draft.record(f"{place}: row {number}"):
                raise Flaw("malformed record", "answers does not hold the lists 'text' and 'answer_start'") from None
            continue
        question = {"id": item.get("id", number), "question": item["question"], "answers": answers}
        # Version 2.0 on the hub marks an unanswerable question by its empty answers alone.
        question["is_impossible"] = not answers
        paragraphs = articles.setdefault(str(item.get("title") or ""), {})
        paragraphs.setdefault(item["context"], []).append(question)
    for number, (title, paragraphs) in enumerate(articles.items()):
        content = [{"context": context, "qas": questions} for context, questions in paragraphs.items()]
        with draft.record(f"{place}: article {title!r}"):
            add_article(draft, row(Article, {"title": title, "paragraphs": content}), f"{place}: {title!r}", number)


def _named(columns: Columns, first: dict[str, Any], place: str) -> AddRow:
    """Return what adds a row by the user's columns, after checking that they exist."""
    for option, column in columns._asdict().items():
        if column and column not in first:
            raise ConfigError(
                f"{place} has no column {column!r} (option {option!r}).",
                hint=f"{suggestion(column, list(first))} Columns: {', '.join(first)}.".lstrip(),
            )
    if not (columns.question and columns.context):
        raise ConfigError(f"{place}: question and context are both needed.", hint="Give question=...&context=....")

    def add(draft: Draft, item: dict[str, Any], number: int) -> None:
        text = _text(item[columns.context])
        doc_id = content_hash("context", text=text)
        if doc_id not in draft.documents:
            draft.add_document(doc_id, text)
        draft.add_query(
            str(item[columns.identifier]) if columns.identifier else f"row {number}",
            str(item[columns.question] or ""),
            answers=_answers(item[columns.answers]) if columns.answers else [],
            evidence=[Claim(doc_id, 0, len(text))],
            level="document",
        )

    return add


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(part, str) for part in value):
        return "\n\n".join(value)
    raise Flaw("malformed record", f"the context is a {type(value).__name__}; expected a text or a list of texts")


def _answers(value: Any) -> list[str]:
    """Return the answers in a cell: a text, a number, a list of them, or an object with a list 'text'."""
    if isinstance(value, dict):
        value = value.get("text", [])
    items = value if isinstance(value, (list, tuple)) else [value]
    return [str(item) for item in items if item is not None and str(item).strip()]
