"""QASPER and LongBench in their published shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ragkit.errors import LoadError
from ragkit.eval.datasets import load


def answer(evidence: list[str], **fields: Any) -> dict[str, Any]:
    empty = {"unanswerable": False, "extractive_spans": [], "yes_no": None, "free_form_answer": ""}
    return {"answer": {**empty, "evidence": evidence, "highlighted_evidence": [], **fields}, "worker_id": "w"}


def paper(*questions: tuple[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "title": "Ducks",
        "abstract": "We study ducks.",
        "full_text": [
            {"section_name": "Sound", "paragraphs": ["Ducks quack.", "", "We recorded ten. "]},
            {"section_name": None, "paragraphs": ["Ducks quack."]},
        ],
        "qas": [{"question": f"{name}?", "question_id": name, "answers": answers} for name, answers in questions],
        "figures_and_tables": [{"file": "1.png", "caption": "Figure 1: a duck"}],
    }


def read(write_json, *questions, **options):
    return load(f"qasper:{write_json({'1909.1': paper(*questions)})}", **options)


def test_qasper_evidence_is_paragraphs_of_the_paper(write_json):
    given = [answer(["Ducks quack.", "We recorded ten. "], extractive_spans=["ten", "all"]), answer([], yes_no=False)]
    evalset = read(write_json, ("a", given))
    (query,) = evalset.queries
    text = evalset.documents["1909.1"].text
    assert text == "Ducks\n\nWe study ducks.\n\nSound\n\nDucks quack.\n\nWe recorded ten.\n\nDucks quack."
    assert [text[span.start : span.end] for span in query.evidence] == ["Ducks quack.", "We recorded ten."]
    assert (query.answers, query.scope, query.level) == (("ten, all", "No"), "1909.1", "paragraph")


def test_the_first_annotator_whose_evidence_is_all_text_counts(write_json):
    mixed = answer(["Ducks quack.", "FLOAT SELECTED: Figure 1: a duck"], free_form_answer="both")
    whole = answer(["We recorded ten."], yes_no=True)
    (query,) = read(write_json, ("a", [mixed, whole])).queries
    assert len(query.evidence) == 1
    assert query.answers == ("both", "Yes")


def test_figures_and_foreign_paragraphs_drop_the_question(write_json):
    figure = ("a", [answer(["FLOAT SELECTED: Figure 1: a duck"], free_form_answer="a duck")])
    foreign = ("b", [answer(["Not in the paper."], free_form_answer="no")])
    evalset = read(write_json, figure, foreign, ("c", [answer(["Ducks quack."], yes_no=True)]))
    assert [query.query_id for query in evalset.queries] == ["c"]
    assert [line.split(";")[0] for line in evalset.dropped] == [
        *("1 x evidence is a figure or table", "1 x evidence is not a paragraph of the paper")
    ]
    with pytest.raises(LoadError, match=r"1909.1.qas\[0\]: the evidence 'FLOAT SELECTED"):
        read(write_json, figure, strict=True)


def test_ids_and_texts_that_are_not_unicode_are_flawed(write_json, tmp_path):
    content = json.dumps({"\ud800": paper(), "b": {**paper(), "title": "\ud800"}, "c": paper(("q", []))})
    (tmp_path / "q.json").write_text(content, encoding="ascii")
    evalset = load(f"qasper:{tmp_path / 'q.json'}")
    assert list(evalset.documents) == ["c"]
    assert evalset.dropped[0].startswith("2 x malformed record")


def test_unanswerable_is_what_no_annotator_answered(write_json):
    no, yes = answer([], unanswerable=True), answer(["Ducks quack."], yes_no=True)
    evalset = read(write_json, ("a", [no, no]), ("b", [no, yes]), ("c", [answer([], free_form_answer="ten")]))
    assert [query.answerable for query in evalset.queries] == [False, True, True]
    assert [query.level for query in evalset.queries] == ["none", "paragraph", "none"]
    assert evalset.queries[1].meta == {"annotators": 2, "found_unanswerable": 1}


def bench(name: str, question: str, context: str = "A long story about ducks.") -> dict[str, Any]:
    fields = {"length": 5, "dataset": "narrativeqa", "language": "en", "all_classes": None}
    return {"_id": name, "input": question, "context": context, "answers": ["ducks"], **fields}


def test_longbench_contexts_are_documents_and_scopes(write_lines):
    path = write_lines([bench("a", "About what?"), bench("b", "Who?"), bench("c", "Why?", "Another.")], "nqa.jsonl")
    evalset = load(path)
    assert len(evalset.documents) == 2
    first, second, third = evalset.queries
    assert first.scope == second.scope != third.scope
    assert {query.level for query in evalset.queries} == {"document"}
    span = third.evidence[0]
    assert evalset.documents[span.doc_id].text[span.start : span.end] == "Another."
    assert third.meta["task"] == "narrativeqa"


def test_longbench_tasks_without_a_question_are_counted(write_lines):
    folder = write_lines([bench("a", "About what?")], "data/nqa.jsonl").parent
    write_lines([bench("s", ""), bench("a", "Twice?"), "{"], "data/report.jsonl")
    evalset = load(folder)
    assert [query.query_id for query in evalset.queries] == ["a"]
    assert [line.split(";")[0] for line in evalset.dropped] == [
        *("1 x question is empty", "1 x duplicate query id", "1 x malformed record")
    ]
    (folder / "empty").mkdir()
    with pytest.raises(LoadError, match=r"it holds no \*.jsonl file"):
        load(f"longbench:{folder / 'empty'}")
