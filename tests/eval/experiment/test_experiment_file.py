"""What is wrong in an experiment file is said with file, line and the nearest valid name, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.errors import ConfigError, RagkitError
from ragkit.eval.experiment.run import RunOptions, run
from ragkit.eval.experiment.specification import MEASURES, read_experiment
from ragkit.eval.experiment.systems import for_whole_documents, systems_of
from ragkit.eval.metrics import parse

GOOD = """\
name: small
data: data
sets:
  - animals
baseline: recursive-30/hybrid
measures: [Recall@3]
pipeline:
  embedder: {name: hashing}
systems:
  - name: mine
    pipeline:
      chunker: {name: token, size: 30}
grid:
  chunkers: [recursive]
  sizes: [30]
  retrievers: [hybrid]
"""

WRONG = {
    "key": ("baseline:", "base_line:", 5, "unknown key 'base_line'", "'baseline'"),
    "key of a set": ("  - animals", "  - {load: animals, smaple: 3}", 4, "unknown key 'smaple'", "'sample'"),
    "key of the grid": ("  sizes:", "  size:", 15, "unknown key 'size'", "'sizes'"),
    "baseline": ("baseline: recursive-30", "baseline: recursive-31", 5, "'recursive-31/hybrid'", "recursive-30/hybrid"),
    "measure": ("[Recall@3]", "[Recal@3]", 6, "'Recal'", "'Recall'"),
    "answers": ("[Recall@3]", "[Recall@3, EM]", 6, "EM is a measure of answers", "Add for instance `answer:"),
    "citations": ("[Recall@3]", "[CitationRecall]", 6, "CitationRecall is a measure of answers", "`answer:"),
    "segments": ("[Recall@3]", "[Pk]", 6, "Pk is a measure of segmentation", "evaluate_segments"),
    "judge": ("[Recall@3]", "[JudgedRelevance]\nanswer: {model: x}", 6, "JudgedRelevance needs a judge", "`judge:"),
    "key of answer": ("pipeline:", "answer: {modle: x}\npipeline:", 7, "unknown key 'modle'", "'model'"),
    "model": ("pipeline:", "answer: {model: {name: lokal}}\npipeline:", 7, "'lokal'", "'local'"),
    "judge's option": ("pipeline:", "answer:\n  judge: {name: local, modl: x}\npipeline:", 8, "'modl'", "'model'"),
    "system's model": ("  embedder:", "  language_model: {name: local, modl: x}\n  embedder:", 8, "'modl'", "'model'"),
    "depth": ("[Recall@3]", "[Recall@3, RR@51]", 6, "RR@51 looks deeper than the k = 50", "Raise k"),
    "chunker": ("{name: token,", "{name: tokken,", 12, "'tokken'", "'token'"),
    "option": ("size: 30}", "sise: 30}", 12, "'sise'", "'size'"),
    "part": ("      chunker:", "      chunkr:", 12, "'chunkr'", "'chunker'"),
    "retriever": ("[hybrid]", "[hybird]", 16, "'hybird'", "'hybrid'"),
    "retriever option": ("[hybrid]", "[{name: hybrid, deph: 9}]", 16, "'deph'", "'depth'"),
    "grid chunker": ("[recursive]", "[recursiv]", 14, "'recursiv'", "'recursive'"),
    "peer": ("[recursive]", "[{peer: chonky_recursive}]", 14, "'chonky_recursive'", "'chonkie_recursive'"),
    "value": ("sizes: [30]", "sizes: [many]", 15, "sizes", "Correct"),
    "twice": ("measures:", "sets: [x]\nmeasures:", 6, "'sets' is given twice, first in line 3", "Remove"),
    "syntax": ("measures: [", "measures: [[", 7, "not valid YAML", "Correct"),
    "set twice": (
        "  - animals",
        "  - animals\n  - {load: animals, sample: 3}",
        5,
        "two sets are named 'animals'",
        "name",
    ),
    "format": ("  - animals", "  - jsonk:animals", 4, "animals", ""),
}


@pytest.mark.parametrize(("old", "new", "line", "message", "hint"), WRONG.values(), ids=WRONG)
def test_a_typo_is_named_with_file_line_and_nearest_name(tmp_path: Path, animals: Path, old, new, line, message, hint):
    assert old in GOOD
    path = tmp_path / "e.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(RagkitError) as raised:
        run(path, RunOptions(work=tmp_path / "work"))
    assert message in raised.value.message
    assert hint in raised.value.hint
    if message != "animals":
        assert raised.value.message.startswith(f"{path}:{line}:")
    assert not (tmp_path / "work" / "indexes").exists()


@pytest.mark.parametrize("content", [b"", b"- a\n", b"name: \xff\n", b"\x00", b"a: &x [*x]"])
def test_a_file_that_is_no_experiment_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "e.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"e\.yaml"):
        read_experiment(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file"):
        read_experiment(tmp_path / "nowhere.yaml")


def test_unknown_set_of_the_command_line(tmp_path: Path, experiment):
    with pytest.raises(RagkitError) as raised:
        run(experiment(), RunOptions(work=tmp_path / "work", sets=["animal"]))
    assert "'animals'" in raised.value.hint


def test_the_grid_is_crossed_and_named(experiment):
    path = experiment(
        baseline="",
        grid={
            "chunkers": ["token", {"peer": "semchunk"}],
            "sizes": [50, 100],
            "retrievers": ["dense", {"name": "hybrid", "depth": 30}],
            "selectors": ["none", {"name": "mmr", "k": 4}],
        },
    )
    systems = {system.name: system for system in systems_of(*read_experiment(path))}
    assert len(systems) == 16
    system = systems["semchunk-100/hybrid-depth30/mmr-k4"]
    assert system.peer is not None
    assert system.peer.options == {"size": 100}
    assert system.config.retriever.options == {"depth": 30}
    assert system.selects
    assert system.config.selector.options == {"k": 4}
    assert not systems["token-50/dense"].selects
    assert systems["token-50/dense"].config.chunker.options == {"size": 50}
    assert system.sized(70).chunker.options == {"size": 70}
    assert {found.name for found in for_whole_documents(list(systems.values())).values()} == {
        *("dense", "dense/mmr-k4", "hybrid-depth30", "hybrid-depth30/mmr-k4"),
    }


def test_two_systems_of_one_name_are_refused(experiment):
    with pytest.raises(ConfigError, match="two systems are named 'a'"):
        systems_of(*read_experiment(experiment(grid=None, systems=[{"name": "a"}, {"name": "a"}])))


@pytest.mark.parametrize("name", ["first", "retrieval", "peers", "example", "segmentation"])
def test_the_committed_experiments_are_valid(name: str):
    path = Path(__file__).parents[3] / "benchmarks" / "experiments" / f"{name}.yaml"
    experiment, lines = read_experiment(path)
    systems = [system.name for system in systems_of(experiment, lines)]
    assert experiment.baseline in systems
    assert len(systems) == {"first": 36, "retrieval": 3, "peers": 10, "example": 8, "segmentation": 12}[name]
    assert [str(parse(measure)) for measure in experiment.measures] == experiment.measures


def test_default_measures_are_valid():
    assert [str(parse(measure)) for measure in MEASURES] == list(MEASURES)
