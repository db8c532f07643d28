"""The prompt of an answer experiment is the one that `ragkit ask` builds, whatever the selector does."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from ragkit.answering.prompt import INSTRUCTION
from ragkit.config import PipelineConfig
from ragkit.errors import ConfigError
from ragkit.eval.datasets import load
from ragkit.eval.experiment.retrieval import within
from ragkit.eval.experiment.run import RunOptions, run
from ragkit.pipeline import Pipeline
from ragkit.plugins import BUILT_IN
from ragkit.testing.scripted import ScriptedLanguageModel

SELECTORS: dict[str, dict[str, Any]] = {
    "top_k": {"name": "top_k", "k": 4},
    "extractive": {"name": "extractive", "policy": {"name": "fixed", "k": 6}},
    "tree_search": {"name": "tree_search", "tokens": 90, "order": "document"},
    "mmr": {"name": "mmr", "k": 3},
    "rationale": {"name": "rationale", "source": "template"},
    "window": {"name": "tree_search", "order": "document"},
}
PIPELINE: dict[str, Any] = {
    "chunker": {"name": "recursive", "size": 60},
    "embedder": {"name": "hashing", "dimension": 64},
    "retriever": "hybrid",
}
QUESTIONS = 6


class Silent(ScriptedLanguageModel):
    """Says the same to everything; all instances keep their prompts in one list."""

    asked: ClassVar[list[str]] = []

    def __init__(self, window: int = 4000) -> None:
        super().__init__("It was in season 2.", name="silent", window=window)
        self.calls = Recorded()


class Recorded(list):
    """Passes the prompts that are appended on to the class: instances outlive a test."""

    def append(self, one: tuple[str, str]) -> None:
        Silent.asked.append(one[1])


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> type[Silent]:
    monkeypatch.setitem(BUILT_IN["language_models"], "silent", f"{__name__}:Silent")
    monkeypatch.setattr(Silent, "asked", [])
    return Silent


def listed(texts: list[str]) -> str:
    return "".join(f"[{number}] {text}\n\n" for number, text in enumerate(texts, 1))


@pytest.mark.parametrize("selector", ["top_k", "tree_search", "extractive"])
def test_the_same_sources_are_shown_in_the_order_that_a_system_names(tmp_path, experiment, animals, silent, selector):
    orders = ["best_last", "best_first", "document"]
    path = experiment(
        sets=[{"load": "animals", "sample": QUESTIONS}],
        grid=None,
        systems=[{"name": "as ever"}, *({"name": order, "order": order} for order in orders)],
        baseline="as ever",
        pipeline={**PIPELINE, "selector": SELECTORS[selector]},
        measures=["EM", "Recall"],
        answer={"model": {"name": "silent"}, "max_tokens": 20},
    )
    (part,) = run(path, RunOptions(work=tmp_path / "work")).sets
    ever, *runs = part.runs
    documents = {name: one.text for name, one in load(str(animals)).documents.items()}
    for query in part.queries:
        ranked = ever.hits[query.query_id]
        texts = [documents[name][a:b] for name, (a, b) in zip(ranked.documents, ranked.spans, strict=True)]
        asked = {one.partition(INSTRUCTION)[0] for one in silent.asked if one.endswith(query.question)}
        placed = [text for *_, text in sorted(zip(ranked.documents, ranked.spans, texts, strict=True))]
        assert listed(placed) in asked, "document order"
        if selector == "top_k":
            assert asked == {listed(texts), listed(texts[::-1]), listed(placed)}
        assert {len(one) for one in asked} == {len(listed(texts))}
    assert all(list(one.hits.items()) == list(ever.hits.items()) for one in runs)
    if selector == "top_k":
        assert runs[0].answers == ever.answers


def test_an_order_and_a_controller_are_one_too_many(tmp_path, experiment, animals, silent):
    system = {"name": "both", "order": "document", "pipeline": {"controller": "feedback"}}
    changes = {"grid": None, "systems": [system], "baseline": "both", "answer": {"model": {"name": "silent"}}}
    with pytest.raises(ConfigError, match=r"experiment\.yaml:\d+: 'both' has a controller and order: document"):
        run(experiment(measures=["EM"], **changes), RunOptions(work=tmp_path / "work"))


@pytest.mark.parametrize("selector", SELECTORS)
def test_the_prompt_is_that_of_a_pipeline(tmp_path, experiment, animals, silent, selector):
    model = {"name": "silent", **({"window": 500} if selector == "window" else {})}
    config = {**PIPELINE, "selector": SELECTORS[selector], "language_model": model}
    path = experiment(
        grid=None,
        pipeline={},
        baseline="",
        systems=[{"name": "one", "pipeline": config}],
        measures=["EM"],
        answer={"max_tokens": 20},
    )
    result = run(path, RunOptions(work=tmp_path / "work", sample=QUESTIONS))
    of_harness = set(silent.asked)
    silent.asked.clear()
    documents = load(str(animals)).documents
    with Pipeline(tmp_path / "index", PipelineConfig.from_mapping(config)) as pipeline:
        pipeline.add(documents.values())
        for query in result.sets[0].queries:
            where = None if query.scope is None else within(query.scope)
            pipeline.ask(query.question, 20, where=where, max_tokens=20)
    assert len(of_harness) == QUESTIONS
    assert of_harness == set(silent.asked)


def test_what_was_shown_is_told_best_first(tmp_path, experiment, silent):
    tree = {"name": "tree_search", "tokens": 90, "order": "document"}
    path = experiment(
        grid={"chunkers": ["recursive"], "sizes": [30], "retrievers": ["lexical"], "selectors": [tree]},
        baseline="",
        measures=["EM"],
        answer={"model": {"name": "silent"}, "max_tokens": 20},
    )
    (part,) = run(path, RunOptions(work=tmp_path / "work", sample=QUESTIONS)).sets
    (found,) = part.runs
    for query_id, record in found.answers.items():
        hits = found.hits[query_id]
        assert hits.ordered
        assert sorted(hits.spans) == hits.spans or len(set(hits.documents)) > 1
        ranks = [(hits.ranks or range(1, len(hits.documents) + 1))[at] for at in record.shown]
        assert ranks == sorted(ranks)
        assert len(record.shown) == len(hits.documents)


def test_a_system_may_have_its_own_budget(tmp_path, experiment, reader):
    systems = [
        {"name": "short", "pipeline": {"selector": {"name": "top_k", "k": 10}}},
        {"name": "long", "pipeline": {"selector": {"name": "top_k", "k": 10}}, "budget_tokens": 2000},
    ]
    path = experiment(
        grid=None,
        systems=systems,
        pipeline={"chunker": {"name": "recursive", "size": 30}, "retriever": "lexical"},
        baseline="",
        measures=["Tokens", "EM"],
        answer={"model": {"name": "reader"}, "max_tokens": 20, "budget_tokens": 60},
    )
    (part,) = run(path, RunOptions(work=tmp_path / "work", sample=QUESTIONS)).sets
    short, long = (list(found.hits.values()) for found in part.runs)
    texts = part.documents
    sizes = [sum(len(texts[d][a:b].split()) for d, (a, b) in zip(h.documents, h.spans, strict=True)) for h in short]
    assert max(sizes) <= 60
    assert all(len(own.documents) == 10 for own in long)
    assert part.intervals["Tokens"]["short"][0] < part.intervals["Tokens"]["long"][0]
