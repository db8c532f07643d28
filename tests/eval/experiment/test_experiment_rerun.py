"""Re-runs: when nothing changed the files come from the work folder, and never when something did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ragkit.errors import RagkitWarning
from ragkit.eval.experiment import code, rerun
from ragkit.eval.experiment.rerun import run_to
from ragkit.eval.experiment.run import RunOptions, Task

GRID = {"chunkers": ["recursive"], "sizes": [30, 60], "retrievers": ["lexical"]}


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """Return the names of the experiments that were computed."""
    names: list[str] = []
    original = Task.result

    def result(task: Task):
        names.append(task.experiment.name)
        return original(task)

    monkeypatch.setattr(Task, "result", result)
    return names


@pytest.fixture
def again(tmp_path, experiment):
    """Return a function that runs the experiment into a new folder and returns what its files hold."""
    numbers = iter(range(100))

    def run_it(**changes) -> dict[str, bytes]:
        options = {name: changes.pop(name) for name in ("sample", "matched_length") if name in changes}
        path = experiment(**{"grid": GRID, "baseline": "", **changes})
        folder = tmp_path / f"out-{next(numbers)}"
        result, files = run_to(path, folder, RunOptions(work=tmp_path / "work", **options))
        assert [file.parent for file in files] == [folder] * len(files)
        assert result.name == "animals"
        return {file.name: file.read_bytes() for file in files}

    return run_it


def test_nothing_is_computed_when_nothing_changed(again, computed):
    first = again()
    assert again() == first
    assert again() == first
    assert set(first) == {"results.json.gz", "results.md", "report.html"}
    assert computed == ["animals"]


@pytest.mark.parametrize(
    "changes",
    [{"measures": ["Recall@3", "RR@4"]}, {"seed": 1}, {"resamples": 201}, {"baseline": "recursive-60/lexical"},
     {"sample": 12}, {"k": 19}, {"grid": {**GRID, "sizes": [30, 61]}}, {"pipeline": {"embedder": "hashing"}}],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_a_change_of_the_experiment_is_computed(again, computed, changes):
    first = again()
    other = again(**changes)
    assert len(computed) == 2
    assert other["results.json.gz"] != first["results.json.gz"]
    assert again() == first, "the earlier files are still there"
    assert len(computed) == 2


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_change_of_the_data_is_computed(again, computed, animals, name):
    again()
    text = (animals / name).read_text(encoding="utf-8")
    (animals / name).write_text(text.replace("valley", "gorges").replace("Who painted", "Who drew"), encoding="utf-8")
    changed = again()
    assert len(computed) == 2
    assert (b"gorges" if name == "corpus.jsonl" else b"Who drew") in changed["report.html"]


@pytest.mark.parametrize("name", ["eval/report/report.css", "eval/report/page.html.jinja", "eval/statistics/holm.py"])
def test_a_change_of_any_source_file_is_computed(again, computed, monkeypatch, tmp_path, name):
    shutil.copytree(code._PACKAGE, tmp_path / "ragkit", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "_PACKAGE", tmp_path / "ragkit")
    code.code_hash.cache_clear()
    again()
    again()
    assert len(computed) == 1
    with (tmp_path / "ragkit" / name).open("a") as stream:
        stream.write("\n")
    code.code_hash.cache_clear()
    again()
    assert len(computed) == 2
    code.code_hash.cache_clear()


def test_another_version_of_a_package_is_computed(again, computed, monkeypatch):
    again()
    monkeypatch.setattr(rerun, "installed", lambda: [["matplotlib", "0"]])
    again()
    assert len(computed) == 2


@pytest.mark.parametrize("damage", ["results.json.gz", "report.html", "complete.json", "missing"])
def test_a_damaged_copy_is_as_if_absent(again, computed, tmp_path, damage):
    first = again()
    (kept,) = (tmp_path / "work" / "delivered").iterdir()
    if damage == "missing":
        (kept / "results.md").unlink()
    else:
        (kept / damage).write_bytes((kept / damage).read_bytes()[:-9])
    second = again()
    assert len(computed) == 2
    assert set(second) == set(first)
    assert again() == second
    assert len(computed) == 2


def test_files_without_a_report_are_not_kept(again, computed, monkeypatch):
    monkeypatch.setattr("ragkit.eval.report.render", lambda _: (_ for _ in ()).throw(ImportError("matplotlib")))
    with pytest.warns(RagkitWarning, match="no HTML report"):
        assert set(again()) == {"results.json.gz", "results.md"}
    monkeypatch.undo()
    assert "report.html" in again()


def test_answers_are_made_anew(again, computed, reader, tmp_path):
    measures = ["TokenF1"]
    again(measures=measures, answer={"model": {"name": "reader"}})
    again(measures=measures, answer={"model": {"name": "reader"}})
    assert len(computed) == 2
    assert not (tmp_path / "work" / "delivered").exists()


def test_the_work_folder_keeps_a_few_deliveries(again, tmp_path, monkeypatch):
    monkeypatch.setattr(rerun, "MOST_KEPT", 2)
    for seed in range(4):
        again(seed=seed)
    kept = list((tmp_path / "work" / "delivered").iterdir())
    assert len(kept) == 2
    assert all(set(json.loads((Path(one) / "complete.json").read_text())) for one in kept)
