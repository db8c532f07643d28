"""`ragkit eval run` and `score` on a set of gold segments: what is shown, written and replied."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from ragkit.cli.eval_replies import EvalReply


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Return an experiment of two chunkers on twelve segmented documents."""
    folder = tmp_path / "data" / "talks"
    folder.mkdir(parents=True)
    corpus = []
    for number in range(12):
        first = "\n".join(f"The kiln was fired {n} times." for n in range(2 + number % 3))
        second = "\n".join(f"Parliament met on day {n}." for n in range(3))
        segments = [{"start": 0, "end": len(first)}, {"start": len(first) + 1, "end": len(first) + 1 + len(second)}]
        corpus.append({"doc_id": f"d{number}", "text": f"{first}\n{second}", "segments": segments})
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    content = {
        "name": "talks",
        "data": "data",
        "sets": ["talks"],
        "resamples": 100,
        "pipeline": {"embedder": "hashing"},
        "grid": {"chunkers": ["sentence"], "sizes": [8, 16], "retrievers": ["lexical"]},
        "segmentation": {"measures": ["WF1"], "sweeps": []},
    }
    path = tmp_path / "talks.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_run_and_score_show_the_table_and_write_all_files(ragkit, experiment, tmp_path):
    out = tmp_path / "out"
    outcome = ragkit("eval", "run", experiment, "--work", tmp_path / "work", "--out", out)
    assert outcome.status == 0, outcome.err
    assert "talks: segments of 12 documents" in outcome.out
    assert "| sentence-16 |" in outcome.out
    assert "## talks: segments" in (out / "results.md").read_text()
    assert 'id="segments-0"' in (out / "report.html").read_text()
    again = ragkit("eval", "score", out / "results.json.gz", "--measures", "Pk,WindowDiff")
    assert again.status == 0, again.err
    assert "### talks: WindowDiff, lower is better" in again.out


def test_the_json_reply_follows_its_schema(ragkit, experiment, tmp_path):
    reply = ragkit("eval", "run", experiment, "--work", tmp_path / "work", "--out", tmp_path / "out", "--json").reply
    jsonschema.validate(reply, EvalReply.model_json_schema())
    (part,) = reply["segmentations"]
    assert (part["documents"], part["units"], part["baseline"]) == (12, "lines", "sentence-8")
    assert {mean["measure"] for mean in part["means"]} == {"WF1", "BOR"}
    assert reply["sets"] == reply["measures"] == []


def test_a_measure_of_retrieval_is_refused(ragkit, experiment, tmp_path):
    ragkit("eval", "run", experiment, "--work", tmp_path / "work", "--out", tmp_path / "out")
    outcome = ragkit("eval", "score", tmp_path / "out" / "results.json.gz", "--measures", "Recall@5")
    assert outcome.status == 2
    assert "it holds no questions" in outcome.err
