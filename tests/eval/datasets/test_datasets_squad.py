"""SQuAD 1.1 and 2.0 in the published shape."""

from __future__ import annotations

from typing import Any

import pytest

from ragkit.errors import LoadError
from ragkit.eval.datasets import load

FIRST = "Ducks quack. Ducks also swim."
SECOND = "Geese honk — loudly."


def qa(name: str, answers: list[tuple[str, int]], **fields: Any) -> dict[str, Any]:
    given = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": name, "question": f"{name}?", "answers": given, **fields}


def article(*qas: dict[str, Any], title: str = "Birds") -> dict[str, Any]:
    paragraphs = [{"context": FIRST, "qas": []}, {"context": SECOND, "qas": list(qas)}]
    return {"title": title, "paragraphs": paragraphs}


def test_an_article_is_a_document_and_an_answer_a_span(write_json):
    evalset = load(
        write_json({"version": "1.1", "data": [article(qa("a", [("honk", 6), ("honk", 6), ("loudly", 13)]))]})
    )
    document = evalset.documents["Birds"]
    assert document.text == f"{FIRST}\n\n{SECOND}"
    (query,) = evalset.queries
    spans = [document.text[span.start : span.end] for span in query.evidence]
    assert (spans, query.answers, query.level) == (["honk"], ("honk", "loudly"), "span")
    assert [span["text"] for span in query.meta["answer_spans"]] == ["honk", "loudly"]
    paragraph = query.meta["paragraph"]
    assert document.text[paragraph["start"] : paragraph["end"]] == SECOND


def test_impossible_questions_are_unanswerable(write_json):
    plausible = [{"text": "honk", "answer_start": 6}]
    item = qa("a", [], is_impossible=True, plausible_answers=plausible)
    (query,) = load(write_json({"version": "v2.0", "data": [article(item)]})).queries
    assert (query.answerable, query.evidence, query.answers) == (False, (), ())
    assert query.meta["asked_of"]["doc_id"] == "Birds"


def test_a_wrong_offset_falls_and_the_next_annotator_stands(write_json):
    data = {
        "data": [article(qa("a", [("honk", 7), ("loudly", 13)]), qa("b", [("honk", 99)]), qa("c", [("honk", -14)]))]
    }
    evalset = load(write_json(data))
    (query,) = evalset.queries
    span = query.evidence[0]
    assert evalset.documents["Birds"].text[span.start : span.end] == "loudly"
    assert len(evalset.dropped) == 1
    assert evalset.dropped[0].startswith("2 x text is not at its span; first: ")
    assert "data[0].paragraphs[1].qas[1]: answer_start 99 gives ''; expected 'honk'" in evalset.dropped[0]


def test_strict_names_the_place(write_json):
    with pytest.raises(LoadError, match=r"data\[0\].paragraphs\[1\].qas\[0\]: answer_start 7 gives 'onk "):
        load(write_json({"data": [article(qa("a", [("honk", 7)]))]}), strict=True)


def test_articles_without_or_with_the_same_title_stay_apart(write_json):
    data = {"data": [article(qa("a", [("honk", 6)])), article(qa("b", [("honk", 6)])), article(title="")]}
    evalset = load(write_json(data))
    assert list(evalset.documents) == ["Birds", "Birds (2)", "article 2"]
    assert [query.evidence[0].doc_id for query in evalset.queries] == ["Birds", "Birds (2)"]


def test_malformed_questions_and_articles_are_dropped_alone(write_json):
    data = {"data": [{"title": "x"}, article({"id": "a"}, qa("b", [("honk", 6)]), qa("b", [("honk", 6)]))]}
    evalset = load(write_json(data))
    assert [query.query_id for query in evalset.queries] == ["b"]
    assert [line.split(";")[0] for line in evalset.dropped] == ["2 x malformed record", "1 x duplicate query id"]
    assert "data[0]: the field 'paragraphs' is missing" in evalset.dropped[0]
