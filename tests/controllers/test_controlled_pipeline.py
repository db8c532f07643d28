"""Selectors that ask models, controllers and trust, end to end on an index: from YAML, by argument, with traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragkit import Document, Pipeline, PipelineConfig
from ragkit.answering.explain import explain
from ragkit.budget import Budget
from ragkit.cli.contract import AskReply
from ragkit.errors import BudgetExceededError, ConfigError, UnknownPartError
from ragkit.parts import check_part, make_controller, make_selector
from ragkit.testing.scripted import ScriptedLanguageModel

HARBOUR = (
    "The harbour opened in 1931 after long works. It has four cranes of steel. The cranes were painted red in 1950. "
    "A ferry leaves the harbour every hour. The lighthouse stands apart."
)
FORUM = "The harbour opened in 1999 with nine cranes, everybody knows. The harbour is best."
MOON = "The moon circles the earth. It has no harbour and no cranes at all."
TEXTS = {"harbour.md": HARBOUR, "forum.md": FORUM, "moon.md": MOON}
BASE = {
    "chunker": {"name": "sentence", "size": 12},
    "embedder": {"name": "hashing", "dimension": 256},
    "retriever": {"name": "lexical"},
}


def records(prompt):
    if "SETTLE" in prompt or "settle this question" in prompt:
        return {"rationales": [{"label": "year", "need": "harbour opened in a year", "reject_if": "no year"}]}
    if "<passage>" in prompt:
        flagged = "1999" in prompt.partition("</passage>")[0]
        return {"relevant": True, "flagged": flagged, "flag_types": ["contradiction"] if flagged else [],
                "confidence": 95, "reason": "as told", "summary": "s"}  # fmt: skip
    if "Review the answer" in prompt:
        return {"score": 9, "context": "keep", "reason": "fine"}
    return {"query": "harbour works"}


@pytest.fixture
def asked(tmp_path: Path):
    """Return a function that asks a question of the index under a configuration."""
    documents = [
        Document(text, name, metadata={} if name == "moon.md" else {"trust": 0.9 if name == "harbour.md" else 0.1})
        for name, text in TEXTS.items()
    ]
    with Pipeline(tmp_path / "index", PipelineConfig.from_mapping(BASE)) as pipeline:
        pipeline.add(documents)

    def ask(settings=None, *, model=None, **options):
        config = PipelineConfig.from_mapping({**BASE, **(settings or {})})
        with Pipeline(tmp_path / "index", config) as pipeline:
            pipeline.language_model = model or ScriptedLanguageModel(
                "The harbour opened in 1931.", records=records, labels=lambda prompt, _: (0.9, 0.1)
            )
            return pipeline.ask("When did the harbour open?", **options)

    return ask


def resolves(answer):
    texts = {Document(text, name).doc_id: text for name, text in TEXTS.items()}
    return bool(answer.citations) and all(
        texts[citation.doc_id][citation.start : citation.end] == citation.text for citation in answer.citations
    )


def sources(answer):
    return {row.source for row in explain(answer).considered if row.kept}


def test_rationales_with_neighbours_and_a_verifier(asked):
    selector = {"name": "rationale", "verifier": "model", "expand": 1, "policy": {"name": "fixed", "k": 3}}
    answer = asked({"selector": selector})
    assert resolves(answer)
    assert "forum.md" not in sources(answer) or all(
        "1999" not in row.reason for row in explain(answer).considered if row.kept
    )
    flagged = [row for row in explain(answer).considered if row.flags]
    assert {row.flags for row in flagged} <= {("contradiction",)}
    stages = answer.trace["spent"]["stages"]
    assert stages["rationales"]["calls"] == 1
    assert stages["verifier"]["calls"] >= 2
    assert answer.trace["selection"]["model"] == "scripted", "the answering model unless `model` names another"


def test_neighbours_come_from_the_store(asked):
    selector = {"name": "rationale", "expand": 1, "policy": {"name": "fixed", "k": 1}}
    found = explain(asked({"selector": selector}, k=1))
    kept = [row for row in found.considered if row.kept]
    assert len(kept) >= 2
    assert "next to a chosen chunk" in {row.reason for row in kept}


def test_sentences_are_cited_exactly(asked):
    bare = asked({"selector": {"name": "extractive", "policy": {"name": "fixed", "k": 1}}})
    assert [part["end"] - part["start"] for part in bare.trace["parts"]] == [len("The harbour is best.")]
    assert [citation.text for citation in bare.closest] in ([], ["The harbour is best."])
    narrowed = asked({"selector": {"name": "extractive", "policy": {"name": "fixed", "k": 6}}})
    assert resolves(narrowed)
    assert AskReply.of(narrowed, explain(narrowed)).explanation.selector == "extractive"
    exit_ = asked({"selector": {"name": "extractive", "scorer": "yes_no"}})
    assert exit_.trace["spent"]["stages"]["sentences"]["calls"] > 0


@pytest.mark.parametrize("how", ["configuration", "argument"])
def test_feedback(asked, how):
    settings, options = (
        ({"controller": {"name": "feedback", "rounds": 2}}, {})
        if how == "configuration"
        else ({}, {"controller": "feedback"})
    )
    answer = asked(settings, **options)
    assert answer.trace["controller"]["stopped"] == "graded 9, at least 9"
    assert answer.trace["spent"]["stages"]["judge"]["calls"] == 1
    assert {"retrieve", "select", "generate", "align"} <= set(answer.trace["seconds"])
    assert json.dumps(AskReply.of(answer, explain(answer)).model_dump())


def test_none_overrides_the_configured_controller(asked):
    assert "controller" not in asked({"controller": "feedback"}, controller="none").trace
    assert PipelineConfig.from_mapping({"controller": "none"}).controller is None
    assert "controller" not in asked({"controller": {"name": "none"}}).trace


def test_corrective(asked):
    answer = asked({"controller": {"name": "corrective", "grader": "coverage", "strip": 0.4, "upper": 0.6}})
    trace = answer.trace["controller"]
    assert trace["branch"] in ("correct", "ambiguous")
    assert resolves(answer)
    nothing = asked({"controller": {"name": "corrective", "upper": 1.0, "lower": 0.99, "rounds": 1}})
    assert nothing.trace["controller"]["branch"] == "incorrect"
    assert nothing.trace["kept"] == []


def test_feedback_never_brings_distrusted_chunks_back(asked):
    said = [{"score": 2, "context": "add", "reason": "more"}]
    model = ScriptedLanguageModel("The harbour opened in 1931.", records=said)
    settings = {"selector": {"name": "top_k", "k": 1, "trust": 0.5}, "controller": {"name": "feedback", "rounds": 3}}
    answer = asked(settings, model=model)
    assert sources(answer) == {"harbour.md"}
    assert all(sources_of == {"harbour.md"} for sources_of in [sources(answer)])


def test_least_trust(asked):
    assert "forum.md" in sources(asked())
    answer = asked(min_trust=0.5)
    assert sources(answer) == {"harbour.md"}
    row = next(row for row in explain(answer).considered if row.source == "moon.md")
    assert row.flags == ("distrusted",)
    assert "its metadata have no 'trust'" in row.reason
    rules = [{"where": "source = 'moon.md'", "trust": 1.0}]
    assert "moon.md" in sources(
        asked({"selector": {"name": "top_k", "k": 9, "trust": {"rules": rules}}}, min_trust=0.5)
    )


def test_a_budget_covers_selectors_and_controllers(asked):
    with pytest.raises(BudgetExceededError, match="rationales"):
        asked({"selector": "rationale"}, budget=Budget(tokens=5))


def test_parts_are_checked_before_anything_is_asked():
    check_part("selectors", PipelineConfig.from_mapping({"selector": {"name": "rationale", "model": "cache"}}).selector)
    part = PipelineConfig.from_mapping({"controller": {"name": "corrective", "reranker": "bm25"}}).controller
    check_part("controllers", part)
    for settings, error, said in (
        ({"selector": {"name": "rationale", "trust": {"mim": 1}}}, ConfigError, "mim"),
        ({"selector": {"name": "rationale", "expnd": 1}}, ConfigError, "expand"),
        ({"controller": {"name": "feedback", "round": 1}}, ConfigError, "rounds"),
    ):
        config = PipelineConfig.from_mapping(settings)
        kind = "controllers" if config.controller else "selectors"
        with pytest.raises(error) as caught:
            check_part(kind, config.controller or config.selector)
        assert said in str(caught.value)


def test_a_named_model_is_asked_instead(asked):
    config = PipelineConfig.from_mapping({**BASE, "controller": {"name": "feedback", "model": "cache"}})
    mine = ScriptedLanguageModel("x")
    made = make_controller(config, None, embedder=lambda: None, language_model=lambda: mine)
    assert made._judge.model is not mine
    other = make_controller(config, "corrective", embedder=lambda: None, language_model=lambda: mine)
    assert other.name == "corrective"
    selector = make_selector(
        PipelineConfig.from_mapping(BASE),
        "rationale",
        mine.count,
        lambda: None or object(),
        language_model=lambda: mine,
    )
    assert selector._model is mine
    with pytest.raises(UnknownPartError, match="There is no controller named 'feedbak'"):
        asked(controller="feedbak")
