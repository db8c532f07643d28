"""`ragkit eval`: replies, files, errors, interruption."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from ragkit.cli.eval_replies import EvalReply, TuneReply
from ragkit.retrievers.lexical import LexicalRetriever


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Return an experiment of two systems on twelve questions."""
    folder = tmp_path / "data" / "kilns"
    folder.mkdir(parents=True)
    words = ["clay", "glaze", "slip", "ash", "salt", "raku", "bone", "iron", "tin", "lead", "silica", "frit"]
    texts = {word: f"Potters like {word}. " * 4 + f"The secret of {word} is patience." for word in words}
    corpus = [{"doc_id": word, "text": text} for word, text in texts.items()]
    queries = [
        {
            "query_id": word,
            "question": f"What is the secret of {word}?",
            "evidence": [{"doc_id": word, "start": text.index("The"), "end": len(text)}],
        }
        for word, text in texts.items()
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    content = {
        "name": "kilns",
        "data": "data",
        "sets": ["kilns"],
        "measures": ["Recall@1", "RR@5"],
        "resamples": 100,
        "pipeline": {"embedder": "hashing"},
        "grid": {"chunkers": ["recursive"], "sizes": [8, 16], "retrievers": ["lexical"]},
    }
    path = tmp_path / "kilns.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_run_writes_files_and_shows_means(ragkit, experiment, tmp_path):
    outcome = ragkit("eval", "run", experiment, "--work", tmp_path / "work", "--out", tmp_path / "out")
    assert outcome.status == 0, outcome.err
    assert "kilns: 12 questions, baseline recursive-8/lexical" in outcome.out
    assert "| recursive-16/lexical |" in outcome.out
    for name in ("results.json.gz", "results.md"):
        assert (tmp_path / "out" / name).is_file()
        assert name in outcome.out


def test_json_reply_follows_its_schema_and_score_says_the_same(ragkit, experiment, tmp_path):
    common = ("--work", tmp_path / "work", "--out", tmp_path / "out", "--json")
    reply = ragkit("eval", "run", experiment, *common).reply
    jsonschema.validate(reply, EvalReply.model_json_schema())
    (part,) = reply["sets"]
    assert part["questions"] == 12
    assert {(item["measure"], item["system"]) for item in part["means"]} == {
        (measure, f"recursive-{size}/lexical") for measure in ("Recall@1", "RR@5") for size in (8, 16)
    }
    assert len(part["comparisons"]) == 2
    again = ragkit("eval", "score", tmp_path / "out" / "results.json.gz", "--json").reply
    assert again["sets"] == reply["sets"]
    assert again["files"] == []
    other = ragkit(
        "eval", "score", tmp_path / "out", "--measures", 'RR@3, Recall(redundancy="sum", unit="chars")@1', "--json"
    ).reply
    assert other["measures"] == ["RR@3", 'Recall(redundancy="sum", unit="chars")@1']


def test_score_prints_the_table(ragkit, experiment, tmp_path):
    ragkit("eval", "run", experiment, "--work", tmp_path / "work", "--out", tmp_path / "out", "--json")
    outcome = ragkit("eval", "score", tmp_path / "out")
    assert outcome.out == (tmp_path / "out" / "results.md").read_text()


def test_a_typo_ends_with_status_2_and_the_line(ragkit, experiment):
    experiment.write_text(experiment.read_text().replace("measures:", "measurs:"))
    error = ragkit("eval", "run", experiment, "--json")
    assert error.status == 2
    assert error.error["error"] == "ConfigError"
    assert "kilns.yaml:" in error.error["message"]
    assert "'measures'" in error.error["hint"]


def test_an_unknown_measure_of_a_replay_ends_with_status_2(ragkit, experiment, tmp_path):
    ragkit("eval", "run", experiment, "--work", tmp_path / "work", "--out", tmp_path / "out", "--json")
    error = ragkit("eval", "score", tmp_path / "out", "--measures", "Recal@1", "--json")
    assert (error.status, error.error["error"]) == (2, "UnknownPartError")


def test_interrupted_runs_say_that_they_can_go_on(ragkit, experiment, tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LexicalRetriever, "candidates", interrupt)
    outcome = ragkit("eval", "run", experiment, "--work", tmp_path / "work", "--out", tmp_path / "out")
    assert outcome.status == 130
    assert "goes on where it was" in outcome.err
    assert not (tmp_path / "out").exists()


def test_sets_and_sample_narrow_the_run(ragkit, experiment, tmp_path):
    common = ("--work", tmp_path / "work", "--out", tmp_path / "out", "--json")
    reply = ragkit("eval", "run", experiment, "--sets", "kilns", "--sample", "5", *common).reply
    assert reply["sets"][0]["questions"] == 5
    error = ragkit("eval", "run", experiment, "--sets", "kiln", *common)
    assert (error.status, error.error["error"]) == (2, "UsageError")
    assert "'kilns'" in error.error["hint"]


def test_tune_prints_a_configuration_that_works(ragkit, experiment, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    lines = []
    for line in (experiment.parent / "data" / "kilns" / "corpus.jsonl").read_text().splitlines():
        record = json.loads(line)
        (docs / f"{record['doc_id']}.txt").write_text(record["text"])
        fact = f"The secret of {record['doc_id']} is patience."
        lines.append(json.dumps({"question": f"Is there a secret of {record['doc_id']}?", "evidence": [fact]}))
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    (tmp_path / "base.yaml").write_text("embedder: {name: hashing}\n")
    common = ("--questions", tmp_path / "q.jsonl", "--config", tmp_path / "base.yaml", "--work", tmp_path / "work")
    common = (*common, "--tokens", "30", "--budget-seconds", "1", "--out", tmp_path / "best.yaml")
    reply = ragkit("eval", "tune", docs, *common, "--json").reply
    jsonschema.validate(reply, TuneReply.model_json_schema())
    assert (reply["searched_on"], reply["held_out"]) == (12, 0)
    assert yaml.safe_load((tmp_path / "best.yaml").read_text()) == reply["config"]
    outcome = ragkit("index", docs, "--index", tmp_path / "index", "--config", tmp_path / "best.yaml")
    assert outcome.status == 0, outcome.err
    shown = ragkit("eval", "tune", docs, *common)
    assert "```yaml" in shown.out
    assert "too good to be expected" in shown.out


def test_tune_refuses_a_question_that_is_not_in_the_documents(ragkit, tmp_path):
    (tmp_path / "a.txt").write_text("The kiln is hot.")
    (tmp_path / "q.jsonl").write_text('{"question": "How?", "evidence": ["The kiln is cold."]}')
    error = ragkit("eval", "tune", tmp_path / "a.txt", "--questions", tmp_path / "q.jsonl", "--json")
    assert (error.status, error.error["error"]) == (1, "LoadError")
    assert "q.jsonl, line 1" in error.error["message"]
