"""Hub data sets through a stand-in for the package `datasets`: rows in, questions out, and quick failure offline."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from ragkit.errors import ConfigError, LoadError, MissingExtraError
from ragkit.eval.datasets import load

SQUAD = {"id": "a", "title": "Birds", "context": "Ducks quack.", "question": "What do ducks do?"}


@pytest.fixture
def hub(monkeypatch):
    """Return a function that makes `load_dataset` return `splits`; it records its calls."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def publish(**splits: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        def load_dataset(name: str, config: str | None = None, revision: str | None = None) -> Any:
            calls.append((name, config, revision))
            if not splits:
                raise FileNotFoundError("no such set\nand a long trace")
            return splits

        monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
        return calls

    return publish


def test_squad_rows_become_articles(hub):
    rows = [
        {**SQUAD, "answers": {"text": ["quack"], "answer_start": [6]}},
        {**SQUAD, "id": "b", "context": "Geese honk.", "answers": {"text": ["honk"], "answer_start": [6]}},
        {**SQUAD, "id": "c", "answers": {"text": [], "answer_start": []}},
        {**SQUAD, "id": "d", "answers": {"text": ["x"]}},
    ]
    calls = hub(train=[], validation=rows)
    evalset = load("hub:rajpurkar/squad?config=plain_text&revision=abc")
    assert calls == [("rajpurkar/squad", "plain_text", "abc")]
    assert evalset.name == "squad"
    assert evalset.documents["Birds"].text == "Ducks quack.\n\nGeese honk."
    queries = {query.query_id: query for query in evalset.queries}
    assert queries["b"].evidence[0].start == 20
    assert not queries["c"].answerable
    assert "row 3: answers does not hold the lists" in evalset.dropped[0]


def test_hotpot_rows_come_as_columns(hub):
    row = {
        "id": "a",
        "question": "?",
        "answer": "x",
        "supporting_facts": {"title": ["T"], "sent_id": [1]},
        "context": {"title": ["T", "U"], "sentences": [["One.", " Two."], ["Three."]]},
    }
    hub(test=[row])
    evalset = load("hub:hotpotqa/hotpot_qa")
    assert evalset.documents["T"].text[slice(5, 9)] == "Two."
    assert [(span.doc_id, span.start, span.end) for span in evalset.queries[0].evidence] == [("T", 5, 9)]


def test_qasper_and_longbench_rows(hub):
    note = {"unanswerable": False, "extractive_spans": ["b"], "evidence": ["Text b."]}
    qas = {"question": ["?"], "question_id": ["q"], "answers": [{"answer": [note], "worker_id": ["w"]}]}
    full_text = {"section_name": ["S"], "paragraphs": [["Text a.", "Text b."]]}
    hub(test=[{"id": "p", "title": "P", "abstract": "A.", "full_text": full_text, "qas": qas}])
    (query,) = load("hub:allenai/qasper").queries
    assert (query.scope, query.answers, len(query.evidence)) == ("p", ("b",), 1)
    hub(test=[{"_id": "l", "input": "?", "context": "Long.", "answers": ["x"], "dataset": "nqa"}])
    assert load("hub:THUDM/LongBench").queries[0].meta["task"] == "nqa"


def test_any_other_set_by_the_columns_named(hub):
    rows = [
        {"q": "Who?", "passages": ["Ducks.", "Geese."], "gold": "ducks", "n": 7},
        {"q": "What?", "passages": ["Ducks.", "Geese."], "gold": ["geese", None], "n": 8},
        {"q": "What?", "passages": 3, "gold": [], "n": 9},
    ]
    hub(dev=rows)
    evalset = load("hub:me/mine?question=q&context=passages&answers=gold&identifier=n")
    assert [query.query_id for query in evalset.queries] == ["7", "8"]
    assert [query.answers for query in evalset.queries] == [("ducks",), ("geese",)]
    assert [document.text for document in evalset.documents.values()] == ["Ducks.\n\nGeese."]
    assert "expected a text or a list of texts" in evalset.dropped[0]
    with pytest.raises(ConfigError, match=r"no column 'passage'.*Did you mean 'passages'"):
        load("hub:me/mine?question=q&context=passage")
    with pytest.raises(ConfigError, match="question and context are both needed"):
        load("hub:me/mine?question=q")
    with pytest.raises(LoadError, match="found the columns gold, n, passages, q"):
        load("hub:me/mine")


def test_a_cell_may_hold_a_text_or_an_object_of_answers(hub):
    hub(test=[{"q": "Who?", "passage": "Ducks.", "gold": {"text": ["ducks", ""], "type": "name"}}])
    evalset = load("hub:me/mine?question=q&context=passage&answers=gold")
    assert [document.text for document in evalset.documents.values()] == ["Ducks."]
    assert (evalset.queries[0].query_id, evalset.queries[0].answers) == ("row 0", ("ducks",))


def test_an_empty_split_is_refused(hub):
    hub(test=[])
    with pytest.raises(LoadError, match="a/b: 0 documents, 0 queries"):
        load("hub:a/b")


def test_unknown_names_and_splits_are_said(hub):
    hub(train=[{**SQUAD, "answers": {"text": ["quack"], "answer_start": [6]}}])
    with pytest.raises(LoadError, match=r"has no split 'test'. Available: train"):
        load("hub:a/b?split=test")
    hub()
    with pytest.raises(LoadError, match=r"^hub:a/b: no such set Check the name"):
        load("hub:a/b")


def test_without_a_network_it_fails_at_once(hub, monkeypatch):
    calls = hub(train=[])
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in ("HTTPS_PROXY", "https_proxy", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LoadError, match=r"127.0.0.1 cannot be reached.*HF_HUB_OFFLINE"):
        load("hub:a/b")
    assert calls == []


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        load("hub:a/b")
