"""`ragkit index`: what it passes on, what it reports, and what Ctrl-C says."""

from __future__ import annotations

import jsonschema
import pytest

from ragkit.cli.contract import IndexReply
from ragkit.cli.index import _interrupted
from ragkit.config import PartConfig, PipelineConfig
from ragkit.ingest import IndexReport
from ragkit.loaders.failure import Failure


@pytest.fixture
def report():
    def make(**changes):
        values = {"documents": 3, "chunks": 12, "added": 2, "updated": 0, "unchanged": 1, "removed": 0}
        return IndexReport(**{**values, "failed": (), "skipped": 0, "seconds": 0.25, "generation": 7, **changes})

    return make


def test_the_reply_has_every_count_and_status_zero(ragkit, script, report, tmp_path):
    script.answers["index"] = report()
    outcome = ragkit("index", tmp_path, "--index", "x", "--json")
    jsonschema.validate(outcome.reply, IndexReply.model_json_schema())
    assert outcome.reply == {
        **{"documents": 3, "chunks": 12, "added": 2, "updated": 0, "unchanged": 1, "removed": 0},
        **{"failed": [], "seconds": 0.25, "generation": 7},
    }
    assert outcome.status == 0
    assert script.asked("index") == (([tmp_path],), {"rebuild": False})


def test_some_failed_inputs_are_status_three_and_named(ragkit, script, report, tmp_path):
    script.answers["index"] = report(failed=(Failure("caf\udce9.pdf", "is encrypted"),), skipped=2)
    outcome = ragkit("index", tmp_path, "--index", "x", "--json")
    assert outcome.status == 3
    assert outcome.reply["failed"] == [{"source": "caf\\udce9.pdf", "reason": "is encrypted"}]
    for_people = ragkit("index", tmp_path, "--index", "x")
    assert for_people.status == 3
    assert "1 could not be indexed" in for_people.out
    assert "caf\\udce9.pdf: is encrypted" in for_people.out


def test_people_see_changes_and_at_most_twenty_failures(ragkit, script, report, tmp_path):
    script.answers["index"] = report(failed=tuple(Failure(f"{n}.pdf", "broken") for n in range(25)))
    out = ragkit("index", tmp_path, "--index", "x").out
    assert "3 documents, 12 chunks in x: 2 added, 1 unchanged; 0.2 s, generation 7." in out
    assert "19.pdf" in out
    assert "20.pdf" not in out
    assert "and 5 more" in out


def test_a_missing_source_is_refused_before_anything_is_opened(ragkit, script, tmp_path):
    outcome = ragkit("index", tmp_path, tmp_path / "gone", "--index", "x", "--json")
    assert outcome.status == 2
    assert str(tmp_path / "gone") in outcome.error["message"]
    assert script.configs == []


STORED = PipelineConfig(
    chunker=PartConfig(name="token", options={"size": 50, "overlap": 5}), embedder=PartConfig(name="hashing")
)


def config_of(script):
    return script.configs[-1]


def test_without_settings_the_index_keeps_its_own(ragkit, script, report, tmp_path):
    script.answers["index"] = report()
    ragkit("index", tmp_path, "--index", "x", "--rebuild", "--json")
    assert config_of(script) is None
    assert script.asked("index")[1] == {"rebuild": True}


def test_options_go_over_what_the_index_was_built_with(ragkit, script, report, tmp_path):
    script.answers["index"] = report()
    script.stored = STORED
    ragkit("index", tmp_path, "--index", "x", "--chunk-size", "80", "--store", "chroma", "--json")
    assert config_of(script).chunker == PartConfig(name="token", options={"size": 80, "overlap": 5})
    assert config_of(script).embedder.name == "hashing"
    assert config_of(script).store.name == "chroma"


def test_another_chunker_does_not_inherit_options(ragkit, script, report, tmp_path):
    script.answers["index"] = report()
    script.stored = STORED
    ragkit("index", tmp_path, "--index", "x", "--chunker", "sentence", "--overlap", "3", "--json")
    assert config_of(script).chunker == PartConfig(name="sentence", options={"overlap": 3})


def test_a_file_is_the_whole_configuration_and_options_go_over_it(ragkit, script, report, tmp_path):
    script.answers["index"] = report()
    script.stored = STORED
    settings = tmp_path / "settings.yaml"
    settings.write_text("chunker: {name: sentence, size: 60}\nloading: {max_pages: 5}\n")
    ragkit("index", tmp_path, "--index", "x", "--config", settings, "--chunk-size", "90", "--json")
    assert config_of(script).chunker == PartConfig(name="sentence", options={"size": 90})
    assert config_of(script).loading.max_pages == 5
    assert config_of(script).embedder == PipelineConfig().embedder


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("hashing", PartConfig(name="hashing")),
        ("sentence_transformer", PartConfig(name="sentence_transformer")),
        ("me/my-model", PartConfig(name="sentence_transformer", options={"model": "me/my-model"})),
    ],
)
def test_an_embedder_is_a_part_or_any_model(ragkit, script, report, tmp_path, name, part):
    script.answers["index"] = report()
    ragkit("index", tmp_path, "--index", "x", "--embedder", name, "--json")
    assert config_of(script).embedder == part


def test_a_bad_file_is_wrong_use_and_names_the_key(ragkit, script, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("chunkr: token\n")
    outcome = ragkit("index", tmp_path, "--index", "x", "--config", settings, "--json")
    assert (outcome.status, outcome.error["error"]) == (2, "ConfigError")
    assert "chunkr" in outcome.error["message"]
    assert "'chunker'" in outcome.error["hint"]


def test_ctrl_c_says_what_state_the_index_is_in(ragkit, script, tmp_path, monkeypatch):
    script.answers["index"] = KeyboardInterrupt()
    outcome = ragkit("index", tmp_path, "--index", tmp_path / "new", "--json")
    assert (outcome.status, outcome.error["error"]) == (130, "Interrupted")
    assert "there is no index" in outcome.error["message"]
    generations = iter([4, 5])
    monkeypatch.setattr("ragkit.cli.index._generation", lambda folder: next(generations))
    assert "nothing of this run was committed" in _interrupted(tmp_path, 4).message
    assert "after the commit" in _interrupted(tmp_path, 4).message


def test_the_model_of_the_chunker_is_its_option(ragkit, script, report, tmp_path):
    script.answers["index"] = report()
    ragkit("index", tmp_path, "--index", "x", "--chunker", "perplexity", "--chunker-model", "cache", "--json")
    assert config_of(script).chunker == PartConfig(name="perplexity", options={"model": "cache"})
