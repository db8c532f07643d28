"""Systems with a controller: the answers of `ragkit ask`, many questions side by side, every round counted."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from benchmarks.answer_tables import controllers
from ragkit.config import PipelineConfig
from ragkit.errors import ConfigError
from ragkit.eval.datasets import load
from ragkit.eval.experiment.answering import answers_priced, selection_priced
from ragkit.eval.experiment.replay import load_result, rescored, save
from ragkit.eval.experiment.retrieval import within
from ragkit.eval.experiment.run import RunOptions, run
from ragkit.eval.experiment.systems import System
from ragkit.eval.results import ModelRecord
from ragkit.pipeline import Pipeline
from ragkit.scoring.calibration import Isotonic

from .conftest import timeless

COMMON: dict[str, Any] = {
    "chunker": {"name": "recursive", "size": 30},
    "embedder": {"name": "hashing", "dimension": 64},
    "retriever": "lexical",
    "selector": {"name": "top_k", "k": 2},
    "language_model": {"name": "reader"},
}
CONTROLLERS = {
    "feedback": {"name": "feedback", "judge": "model", "rounds": 3},
    "corrective": {"name": "corrective", "grader": "coverage", "rewrite": False, "lower": 0.2, "upper": 0.9},
}
LIKELIHOOD = {"name": "likelihood", "model": {"name": "reader"}}
FUSED = {"name": "fusion", "rerankers": ["bm25", LIKELIHOOD]}
SAMPLE = 12


@pytest.fixture
def judge(reader, monkeypatch):
    """Let the reader review answers: more context until the answer names a season."""
    sizes: list[int] = []

    def records(self, prompts, schema, **_):
        sizes.append(len(prompts))
        found = []
        for one in prompts:
            text = "".join(part.text for part in one)
            good = "in season" in text.partition("ANSWER GIVEN")[2].partition("QUESTION")[0]
            found.append(schema.model_validate({"score": 10 if good else 2, "context": "keep" if good else "add"}))
        return found

    monkeypatch.setattr(reader, "generate_records", records)
    return sizes


def steered(tmp_path, experiment, **changes):
    systems = [
        {"name": name, "pipeline": {} if one is None else {"controller": one}}
        for name, one in {"once": None, **CONTROLLERS}.items()
    ]
    content = {
        "grid": None,
        "pipeline": COMMON,
        "systems": systems,
        "baseline": "once",
        "k": 6,
        "measures": ["EM", "TokenF1", "Recall", "Abstention"],
        "answer": {"max_tokens": 20},
        **changes,
    }
    return run(experiment(**content), RunOptions(work=tmp_path / "work", sample=SAMPLE))


def test_the_table_of_the_benchmarks_counts_every_call(tmp_path, experiment, reader, judge):
    result = steered(tmp_path, experiment)
    (part,) = result.sets
    lines = [line for line in controllers(result) if line.startswith("| ")]
    head, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[0] for row in rows] == ["once", *CONTROLLERS]
    cells = [dict(zip(head, row, strict=True)) for row in rows]
    once, feedback, corrective = cells
    assert (once["calls"], once["rounds"], once["tokens, times the baseline's"]) == ("1.0", "1.0", "1.0")
    records = part.runs[1].answers.values()
    asked = [record.call for record in records if record.call is not None]
    assert feedback["calls"] == f"{sum(call.calls for call in asked) / SAMPLE:.1f}"
    assert feedback["read"] == f"{sum(call.prompt_tokens for call in asked) / SAMPLE:,.0f}"
    assert float(feedback["calls"]) > float(feedback["rounds"]) > 1
    none = [record.text is None for record in part.runs[2].answers.values()]
    assert corrective["no answer"] == f"{np.mean(none):.0%}" != "0%"


def test_answers_and_costs_are_those_of_a_pipeline(tmp_path, experiment, animals, reader, judge):
    result = steered(tmp_path, experiment)
    (part,) = result.sets
    documents = load(str(animals)).documents
    for run_ in part.runs[1:]:
        config = PipelineConfig.from_mapping({**COMMON, "controller": CONTROLLERS[run_.system]})
        calls = rounds = 0
        with Pipeline(tmp_path / run_.system, config) as pipeline:
            pipeline.add(documents.values())
            for query in part.queries:
                where = None if query.scope is None else within(query.scope)
                answer = pipeline.ask(query.question, 6, where=where, max_tokens=20)
                record = run_.answers[query.query_id]
                if answer.trace["model_called"]:
                    assert record.text == answer.text
                    assert len(record.shown) == len(answer.trace["kept"])
                else:
                    assert record.text is None
                rounds += record.call.rounds
                calls += record.call.calls
                assert record.call.rounds == len(answer.trace["controller"]["rounds"])
        assert run_.cost["answers"].calls == calls
        assert rounds > len(part.queries), "some question takes more than one round"
        assert any("rounds a question" in note for note in part.notes)
    feedback = part.runs[1]
    assert feedback.cost["answers"].calls > 2 * SAMPLE - 1, "an answer and a judgement for each round"
    assert max(judge) > SAMPLE // 2
    save(result, tmp_path / "results.json.gz")
    assert timeless(rescored(load_result(tmp_path / "results.json.gz"))) == timeless(result)


def test_a_second_run_asks_nothing(tmp_path, experiment, reader, judge):
    first = steered(tmp_path, experiment)
    asked = len(reader.asked), len(judge)
    second = steered(tmp_path, experiment)
    assert (len(reader.asked), len(judge)) == asked
    assert timeless(first) == timeless(second)
    spent = second.sets[0].runs[1].cost["answers"]
    assert spent.from_cache == spent.calls


def test_a_controller_may_ask_another_model(tmp_path, experiment, reader, judge):
    other = {"name": "feedback", "model": {"name": "reader", "size": "judge"}}
    systems = [{"name": "other", "pipeline": {"controller": other}}]
    (part,) = steered(tmp_path, experiment, systems=systems, baseline="").sets
    assert part.runs[0].language_model.name == "reader-small"
    assert max(judge) > SAMPLE // 2


def test_without_answers_a_controller_is_refused_with_its_line(tmp_path, experiment, reader):
    with pytest.raises(ConfigError, match=r"experiment\.yaml:\d+: The system 'feedback' has a controller"):
        steered(tmp_path, experiment, answer=None, measures=["Recall"])
    wrong = [{"name": "a", "pipeline": {"controller": {"name": "feedback", "round": 2}}}]
    with pytest.raises(ConfigError, match=r"has no option 'round'"):
        steered(tmp_path, experiment, systems=wrong, baseline="")


def test_what_an_older_version_wrote_of_a_call_is_read():
    from ragkit.eval.results import Call

    call = Call.model_validate(json.loads('{"prompt_tokens": 3, "reply_tokens": 1, "seconds": 0.5}'))
    assert (call.calls, call.rounds) == (1, 1)


def test_a_selector_may_ask_another_model_in_bulk_and_waiting_is_no_work(tmp_path, experiment, reader, monkeypatch):
    sizes: list[tuple[str, int]] = []

    def labels(self, prompts, labels, **_):
        sizes.append((self.name, len(prompts)))
        time.sleep(0.2)
        return np.array([[0.9, 0.1]] * len(prompts))

    monkeypatch.setattr(reader, "label_probabilities", labels)
    selector = {"name": "extractive", "scorer": "yes_no", "model": {"name": "reader", "size": "judge"}}
    systems = [{"name": "other", "pipeline": {"selector": selector, "controller": CONTROLLERS["corrective"]}}]
    (part,) = steered(tmp_path, experiment, systems=systems, baseline="").sets
    assert {name for name, _ in sizes} == {"reader-judge"}
    assert max(count for _, count in sizes) > 2 * SAMPLE, "the sentences of all questions side by side"
    seconds = [hits.seconds for hits in part.runs[0].hits.values()]
    assert sum(seconds) < 0.2 * len(sizes) + 2, "each question counts its share of a call, not the call"
    assert sum(seconds) > 0.1 * len(sizes)


def test_another_file_of_a_controller_is_another_result(tmp_path, experiment, reader):
    curve = tmp_path / "curve.json"
    grader = {"name": "corrective", "grader": "reranker", "reranker": "cosine", "rewrite": False}
    grader["calibration"] = {"name": "isotonic", "path": str(curve)}
    systems = [{"name": "graded", "pipeline": {"controller": grader}}]
    kept = []
    for value in (1.0, 0.0):
        Isotonic((-1.0, 1.0), (value, value)).write(curve)
        (part,) = steered(tmp_path, experiment, systems=systems, baseline="").sets
        kept.append([record.text for record in part.runs[0].answers.values()])
    assert kept[0] != kept[1]


@pytest.mark.parametrize(
    ("parts", "answers", "selection"),
    [
        ({}, True, True),
        ({"selector": {"name": "score_cut", "reranker": "cosine"}}, True, True),
        ({"selector": {"name": "rationale", "source": "model"}}, True, True),
        ({"selector": {"name": "rationale", "source": "model", "model": {"name": "reader"}}}, True, False),
        (
            {"selector": {"name": "score_cut", "reranker": {"name": "likelihood", "model": {"name": "reader"}}}},
            True,
            False,
        ),
        (
            {"selector": {"name": "score_cut", "reranker": {"name": "fusion", "rerankers": ["bm25", "likelihood"]}}},
            True,
            False,
        ),
        ({"controller": {"name": "feedback"}}, True, True),
        ({"controller": {"name": "feedback", "model": {"name": "reader"}}}, False, False),
        ({"controller": "feedback", "selector": {"name": "rationale", "model": {"name": "reader"}}}, False, False),
    ],
)
def test_a_price_is_that_of_the_model_that_was_asked(parts, answers, selection):
    system = System("one", PipelineConfig.from_mapping(parts), "one", selects=True)
    record = ModelRecord(name="m", fingerprint="f", price=(1.0, 10.0))
    found = (answers_priced(record, system).price is not None, selection_priced(record, system).price is not None)
    assert found == (answers, selection)
