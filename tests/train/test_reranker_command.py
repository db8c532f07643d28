"""`ragkit train reranker`: from files to a model folder, and errors that say what to do."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import jsonschema
import pytest

from ragkit.cli.contract import COMMANDS
from tests.train.conftest import make_set


def written(folder, evidence: bool = True):
    things = make_set(documents=4)
    folder.mkdir()
    with gzip.open(folder / "corpus.jsonl.gz", "wt", encoding="utf-8") as lines:
        for doc_id, document in things.documents.items():
            lines.write(json.dumps({"doc_id": doc_id, "title": "", "text": document.text}) + "\n")
    with gzip.open(folder / "queries.jsonl.gz", "wt", encoding="utf-8") as lines:
        for one in things.queries:
            spans = [
                {
                    "doc_id": span.doc_id,
                    "start": span.start,
                    "end": span.end,
                    "text": things.documents[span.doc_id].text[span.start : span.end],
                }
                for span in (one.evidence if evidence else ())
            ]
            record = {"query_id": one.query_id, "question": one.question, "answers": [], "evidence": spans}
            lines.write(json.dumps({**record, "meta": {"evidence_level": "span" if evidence else "none"}}) + "\n")
    return folder


def ragkit(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "ragkit.cli.app", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("chunker: {name: recursive, size: 24}\nembedder: hashing\nretriever: lexical\n")
    return path


def test_a_model_folder_comes_out_and_the_reply_keeps_its_contract(tmp_path, tiny_encoder, settings):
    data, out = written(tmp_path / "things"), tmp_path / "judge"
    options = ("--encoder", tiny_encoder, "--epochs", 1, "--texts", 4, "--held-out", 0.25, "--config", settings)
    done = ragkit("train", "reranker", "--data", f"jsonl:{data}", "--out", out, *options, "--json")
    assert done.returncode == 0, done.stderr
    reply = json.loads(done.stdout)
    jsonschema.validate(reply, COMMANDS["train reranker"].model_json_schema())
    assert [row["judge"] for row in reply["held_out"]] == ["trained", "cosine", "fusion"]
    assert (out / "model.safetensors").is_file()


def test_a_set_without_evidence_is_named(tmp_path, tiny_encoder, settings):
    data = written(tmp_path / "bare", evidence=False)
    done = ragkit(
        *("train", "reranker", "--data", f"jsonl:{data}", "--out", tmp_path / "judge", "--encoder", tiny_encoder),
        *("--config", settings, "--json"),
    )
    assert done.returncode == 2
    assert "bare: none of its 40 questions has evidence" in json.loads(done.stderr)["message"]
    assert not (tmp_path / "judge").exists()
