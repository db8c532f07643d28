"""Hub data sets through a stand-in for the package `datasets`: rows in, questions out, and quick failure offline."""

from __future__ import annotations

import json
import sys
import types
from typing import Any

import pytest

from ragkit.errors import ConfigError, LoadError, MissingExtraError
from ragkit.eval.datasets import load
from ragkit.eval.metrics import choice_accuracy

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

        install(load_dataset, lambda *_, **__: ["default"])
        return calls

    def install(load_dataset: Any, get_dataset_config_names: Any) -> None:
        module = types.SimpleNamespace(load_dataset=load_dataset, get_dataset_config_names=get_dataset_config_names)
        monkeypatch.setitem(sys.modules, "datasets", module)

    return publish


@pytest.fixture
def parts(monkeypatch):
    """Return a function that publishes {(repository, configuration): {split: rows}}; it records its calls."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def publish(content: dict[tuple[str, str], dict[str, list[dict[str, Any]]]]) -> list[tuple[Any, ...]]:
        def names(repository: str, revision: str | None = None) -> list[str]:
            return [config for owner, config in content if owner == repository] or ["default"]

        def load_dataset(name: str, config: str | None = None, revision: str | None = None) -> Any:
            calls.append((name, config, revision))
            wanted = config or (names(name)[0] if len(names(name)) == 1 else None)
            if (name, wanted) not in content:
                raise ValueError(f"there is no {name} {config}")
            return content[name, wanted]

        module = types.SimpleNamespace(load_dataset=load_dataset, get_dataset_config_names=names)
        monkeypatch.setitem(sys.modules, "datasets", module)
        return calls

    return publish


CORPUS = [
    {"_id": "4983", "title": "Ducks", "text": "Ducks quack."},
    {"_id": "5836", "title": "", "text": "Geese honk."},
]
QUERIES = [{"_id": "1", "title": "", "text": "Who quacks?"}, {"_id": "3", "title": "", "text": "Who honks?"}]
JUDGED = {
    "train": [{"query-id": 3, "corpus-id": 5836, "score": 1}],
    "test": [{"query-id": 1, "corpus-id": 4983, "score": 1}],
}


@pytest.mark.parametrize("copy", ["BeIR", "mteb"])
def test_beir_is_joined_from_its_parts(parts, copy):
    """BeIR's own repositories have the judgements beside them, with numbers as ids; MTEB's as the default part."""
    judged = {
        split: [{key: str(value) for key, value in row.items()} for row in rows] for split, rows in JUDGED.items()
    }
    content = {
        (f"{copy}/scifact", "corpus"): {"corpus": CORPUS},
        (f"{copy}/scifact", "queries"): {"queries": QUERIES},
    }
    content[("BeIR/scifact-qrels", "default") if copy == "BeIR" else ("mteb/scifact", "default")] = (
        JUDGED if copy == "BeIR" else judged
    )
    calls = parts(content)
    evalset = load(f"hub:{copy}/scifact?revision=abc")
    assert evalset.documents["4983"].text == "Ducks\n\nDucks quack."
    assert evalset.documents["5836"].text == "Geese honk."
    (query,) = evalset.queries
    assert (query.query_id, query.evidence[0].doc_id, query.level) == ("1", "4983", "document")
    assert evalset.dropped == ("1 x query without judgements in test judgements; first: '3'",)
    assert calls[0] == (f"{copy}/scifact", "corpus", "abc")
    assert [call[2] for call in calls if call[0].endswith("-qrels")] == ([None] if copy == "BeIR" else [])
    assert [one.query_id for one in load(f"hub:{copy}/scifact?split=train").queries] == ["3"]


def test_parts_that_do_not_fit_are_said(parts):
    content = {
        ("a/b", "corpus"): {"corpus": CORPUS},
        ("a/b", "queries"): {"queries": QUERIES},
        ("a/judged", "default"): {"test": [{"query-id": 1, "score": 1}, *JUDGED["test"]]},
    }
    parts(content)
    with pytest.raises(LoadError, match="hub:a/b-qrels: there is no a/b-qrels"):
        load("hub:a/b")
    evalset = load("hub:a/b?qrels=a/judged")
    assert len(evalset.queries) == 1
    assert "hub:a/judged, test, row 0: found {'query-id': 1, 'score': 1}; expected query-id" in evalset.dropped[0]
    with pytest.raises(LoadError, match=r"has no split 'dev'\. Available: test"):
        load("hub:a/b?qrels=a/judged&split=dev")
    parts({("c/d", "corpus"): {"train": CORPUS}, ("c/d", "other"): {"train": [{"x": 1}]}})
    with pytest.raises(LoadError, match="the columns x in 'other'; expected BEIR's or MultiHop-RAG's"):
        load("hub:c/d")


def test_multihop_rag_is_joined_from_its_parts(parts):
    article = {
        "title": "Ducks",
        "author": None,
        "source": "S",
        "published_at": "2023",
        "category": "c",
        "url": "u",
        "body": "Ducks quack.\nA lot.",
    }
    fact = {
        "title": "Ducks",
        "author": None,
        "url": "u",
        "source": "S",
        "category": "c",
        "published_at": "2023",
        "fact": "quack. A lot",
    }
    rows = [
        {"query": "Who quacks?", "answer": "ducks", "question_type": "inference_query", "evidence_list": [fact]},
        {"query": "Why?", "answer": "Insufficient information.", "question_type": "null_query", "evidence_list": []},
    ]
    parts(
        {
            ("yixuantt/MultiHopRAG", "MultiHopRAG"): {"train": rows},
            ("yixuantt/MultiHopRAG", "corpus"): {"train": [article]},
        }
    )
    evalset = load("hub:yixuantt/MultiHopRAG")
    first, second = evalset.queries
    (span,) = first.evidence
    assert evalset.documents["u"].text[span.start : span.end] == "quack.\nA lot"
    assert not second.answerable


CHOICES = {
    "_id": "66f3", "domain": "Single-Document QA", "sub_domain": "Legal", "difficulty": "hard", "length": "short",
    "question": "Which bird?", "choice_A": "duck", "choice_B": "goose", "choice_C": "swan", "choice_D": "heron",
    "answer": "C", "context": "A swan sang.",
}  # fmt: skip


@pytest.mark.parametrize("form", ["hub", "list", "lines"])
def test_longbench_v2_is_multiple_choice(hub, tmp_path, form):
    wrong = {**CHOICES, "_id": "no", "answer": "E"}
    if form == "hub":
        hub(train=[CHOICES, wrong])
        evalset = load("hub:THUDM/LongBench-v2")
    else:
        path = tmp_path / "data.json"
        text = json.dumps([CHOICES, wrong]) if form == "list" else f"{json.dumps(CHOICES)}\n{json.dumps(wrong)}\n"
        path.write_text(text)
        evalset = load(path)
    (query,) = evalset.queries
    assert query.answers == ("swan",)
    assert query.scope == query.evidence[0].doc_id
    assert query.meta["options"] == ["duck", "goose", "swan", "heron"]
    assert (query.meta["gold_option"], query.meta["gold_label"]) == (2, "C")
    assert choice_accuracy(["The answer is C."], [query.meta["gold_label"]]).accuracy == 1
    assert "malformed record" in evalset.dropped[0]


def test_objects_may_come_as_lists_of_objects(hub):
    hub(test=[{**SQUAD, "answers": [{"text": "quack", "answer_start": 6}]}])
    (query,) = load("hub:a/b").queries
    assert query.answers == ("quack",)
    row = {
        "id": 7, "question": "?", "answer": "x", "supporting_facts": [{"title": "T", "sent_id": 1}],
        "context": [{"title": "T", "sentences": ["One.", " Two."]}],
    }  # fmt: skip
    hub(test=[row, {**row, "id": 8, "context": [{"title": "T"}]}])
    evalset = load("hub:a/b")
    assert (evalset.queries[0].query_id, evalset.queries[0].evidence[0].start) == ("7", 5)
    assert "hub:a/b: row 1: it is not of the shape of the first row: KeyError" in evalset.dropped[0]


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
