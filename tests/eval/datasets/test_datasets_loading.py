"""Specifications: format names, options, detection, and what cannot be followed."""

from __future__ import annotations

import gzip
import subprocess
import sys

import pytest

from ragkit.errors import ConfigError, LoadError, UnknownPartError
from ragkit.eval.datasets import FORMATS, load
from ragkit.eval.datasets.detection import detected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"version": "1.1", "data": [{"title": "T", "paragraphs": [{"context": "c", "qas": []}]}]}, "squad"),
        ([{"_id": "1", "context": [], "supporting_facts": [], "question": "q"}], "hotpotqa"),
        ([{"_id": "1", "context": [], "supporting_facts": [], "evidences": [], "question": "q"}], "2wiki"),
        ([{"query": "q", "answer": "a", "question_type": "t", "evidence_list": []}], "multihop_rag"),
        ({"1": {"title": "t", "full_text": [{"paragraphs": []}], "qas": [{"context": 1}]}}, "qasper"),
        ({"input": "q", "context": "c", "answers": [], "_id": "x"}, "longbench"),
    ],
)
def test_files_are_recognised_by_their_keys(write_json, content, expected):
    assert detected(write_json(content)) == expected


def test_packed_files_are_recognised_too(tmp_path):
    path = tmp_path / "dev.json.gz"
    path.write_bytes(gzip.compress(b'[{"supporting_facts": [], "context": []}]'))
    assert detected(path) == "hotpotqa"


def test_folders_are_recognised_by_their_files(tmp_path):
    (tmp_path / "corpus.jsonl").touch()
    assert detected(tmp_path) == "jsonl"
    (tmp_path / "qrels").mkdir()
    assert detected(tmp_path) == "beir"
    news = tmp_path / "news"
    news.mkdir()
    (news / "corpus.json").touch()
    assert detected(news) == "multihop_rag"


def test_what_is_not_recognised_brings_the_formats(write_json, tmp_path):
    with pytest.raises(LoadError, match="squad, hotpotqa, 2wiki"):
        load(write_json({"rows": []}))
    with pytest.raises(LoadError, match="the format was not recognised"):
        load(tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_a_missing_path_or_option(name, tmp_path):
    if name != "hub":
        with pytest.raises(LoadError, match="there is no such file or folder"):
            load(f"{name}:{tmp_path}/absent")
    with pytest.raises(ConfigError, match="has no option 'colour'"):
        load(f"{name}:{tmp_path}?colour=red")


def test_an_unknown_format_brings_the_nearest():
    with pytest.raises(UnknownPartError, match="Did you mean 'squad'"):
        load("sqaud:dev.json")


def test_a_missing_path_without_a_format_is_not_looked_for_on_the_hub():
    with pytest.raises(LoadError, match="write hub:owner/name"):
        load("owner/name")


def test_options_that_are_no_options_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="is not a list of options"):
        load(f"beir:{tmp_path}?split")


def test_a_path_may_hold_a_colon_and_a_question_mark(tmp_path, write_set):
    folder = write_set(
        [{"doc_id": "d", "text": "Ducks."}],
        [{"query_id": "q", "question": "?", "evidence": [{"doc_id": "d", "start": 0, "end": 5}]}],
    )
    odd = folder.rename(tmp_path / "what: a set?")
    assert load(odd).name == "what: a set?"
    assert load(f"jsonl:{odd}").fingerprint == load(odd).fingerprint


def test_the_name_can_be_given(write_set):
    folder = write_set([{"doc_id": "d", "text": "ab", "segments": [{"start": 0, "end": 2}]}])
    evalset = load(folder, name="mine")
    assert evalset.name == "mine"
    assert evalset.documents["d"].source == "mine/d"


@pytest.mark.parametrize("content", [b"", b"{", b'"\xff"', b"[" * 100_000])
def test_a_file_that_is_not_json_is_named(tmp_path, content):
    path = tmp_path / "set.json"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=r"set.json: .*expected one JSON value"):
        load(f"squad:{path}")


@pytest.mark.parametrize("name", ["squad", "hotpotqa", "2wiki", "qasper"])
def test_a_file_of_another_shape_is_refused_not_dropped(write_json, name):
    content = {} if name in {"hotpotqa", "2wiki"} else []
    with pytest.raises(LoadError, match=r"set.json: found (an object|a list); expected"):
        load(f"{name}:{write_json(content)}")


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, ragkit.eval.datasets; print(sorted({'torch', 'datasets', 'faiss', 'pyarrow'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
