"""`ragkit cache` and `ragkit ask --kv-reuse`, with real weights on a small index."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from ragkit.cachecraft import session as session_module
from ragkit.cachecraft.gate_file import GateResult
from ragkit.cachecraft.probe_set import VERSION
from ragkit.cachecraft.store import ChunkStore
from ragkit.cli.contract import COMMANDS
from tests.cachecraft.small_index import make_index
from tests.cachecraft.tiers.servers import free_port
from tests.cachecraft.variants import SPACE, body, variant


@pytest.fixture(scope="module")
def index(tmp_path_factory, smollm_folder) -> Path:
    return make_index(tmp_path_factory.mktemp("reuse"), smollm_folder)


def test_build_then_ask_then_stats_then_clear(index, ragkit, tmp_path):
    config = tmp_path / "c.yaml"
    told = yaml.safe_load((index / "ragkit.yaml").read_text())
    told["kv_reuse"]["store"] = str(tmp_path / "store")
    config.write_text(yaml.safe_dump(told))
    common = ["--config", config, "--json"]

    some = ragkit("cache", "build", "--index", index / "index", "--limit", "2", *common).reply
    assert (some["chunks"], some["built"], some["present"], some["left_out"]) == (4, 2, 0, 0)
    assert some["bytes"] > 0
    rest = ragkit("cache", "build", "--index", index / "index", *common).reply
    assert (rest["built"], rest["present"]) == (2, 2)

    asked = ragkit(
        "ask", "Where do barges carry salt?", "--index", index / "index", "-k", "2", "--max-tokens", "2", *common
    )
    report = asked.reply["trace"]["kv_reuse"]
    assert report["cold_tokens"] == 0
    assert report["generations"] == [0, 0]
    assert report["computed_tokens"] < report["prompt_tokens"]

    (space,) = ragkit("cache", "stats", *common).reply["spaces"]
    assert (space["chunks"], space["variants"]) == (5, 5), "four chunks and the prefix"
    assert space["tiers"][1]["blobs"] == 5
    text = ragkit("cache", "stats", "--folder", tmp_path / "store").out
    assert "5 variants of 5 chunks" in text

    cleared = ragkit("cache", "clear", *common).reply
    assert cleared["variants"] == 5
    assert cleared["bytes"] >= some["bytes"] + rest["bytes"]
    assert ragkit("cache", "stats", *common).reply["spaces"][0]["variants"] == 0


def test_people_see_what_reuse_did(index, ragkit, tmp_path):
    out = ragkit(
        "ask", "Where do barges carry salt?", "--index", index / "index", "-k", "2", "--max-tokens", "2", "--explain",
        "--config", index / "ragkit.yaml", "--kv-reuse",
    ).out  # fmt: skip
    assert "Chunk reuse:" in out
    assert "no variant is stored" in out
    assert "to the first token" in out
    plain = ragkit(
        "ask", "Where do barges carry salt?", "--index", index / "index", "-k", "2", "--max-tokens", "2", "--explain",
        "--config", index / "ragkit.yaml", "--no-kv-reuse",
    ).out  # fmt: skip
    assert "Chunk reuse:" not in plain


@pytest.mark.parametrize(("divergence", "status"), [(0.03, 0), (3.0, 1)])
def test_the_gate_says_whether_the_model_may_reuse(index, ragkit, tmp_path, monkeypatch, divergence, status):
    result = GateResult("cachecraft", 0.15, None, 8, divergence, 4.0, 0.95, 8, 1.0, VERSION)
    monkeypatch.setattr(session_module, "run_gate", lambda *_, **__: result)
    told = yaml.safe_load((index / "ragkit.yaml").read_text())
    told["kv_reuse"]["store"] = str(tmp_path / "store")
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(told))
    done = ragkit("cache", "gate", "--config", config, "--json")
    assert done.status == status
    jsonschema.validate(done.reply, COMMANDS["cache gate"].model_json_schema())
    assert done.reply["passed"] == (status == 0)
    assert done.reply["result"]["divergence"] == divergence
    (space,) = ragkit("cache", "stats", "--config", config, "--json").reply["spaces"]
    assert [one["divergence"] for one in space["gate"]] == [divergence]
    out = ragkit("cache", "gate", "--config", config).out
    assert ("may reuse chunks" if status == 0 else "must not reuse chunks") in out


def test_an_empty_store_is_no_error(ragkit, tmp_path):
    assert ragkit("cache", "stats", "--folder", tmp_path / "none", "--json").reply["spaces"] == []
    assert "Nothing is stored" in ragkit("cache", "stats", "--folder", tmp_path / "none").out
    assert ragkit("cache", "clear", "--folder", tmp_path / "none", "--json").reply["variants"] == 0


def filled(folder: Path) -> None:
    with ChunkStore(SPACE, folder) as store:
        assert store.save(variant(1), body(1), always=True)


def test_what_a_remote_store_did_not_remove_is_an_error(ragkit, tmp_path):
    filled(tmp_path / "store")
    config = tmp_path / "c.yaml"
    remote = {"store": str(tmp_path / "store"), "remote": f"valkey://127.0.0.1:{free_port()}", "remote_seconds": 0.5}
    config.write_text(yaml.safe_dump({"kv_reuse": remote}))
    done = ragkit("cache", "clear", "--config", config, "--json")
    assert done.status != 0
    assert "1 variants were removed" in done.error["message"]
    assert f"the remote store did not remove what it holds of {SPACE}" in done.error["message"]
    assert not list(tmp_path.rglob("*.kv")), "the rest is gone"


def test_a_store_that_is_being_written_is_refused_and_nothing_else_is_said(ragkit, tmp_path):
    filled(tmp_path)
    with ChunkStore(SPACE, tmp_path):
        done = ragkit("cache", "clear", "--folder", tmp_path)
    assert done.status != 0
    assert "nothing was done" in done.err
    assert "kept in memory" not in done.err


def test_a_model_that_cannot_reuse_is_refused_before_anything_is_done(ragkit, index):
    done = ragkit(
        "ask", "What?", "--index", index / "index", "--llm", "http://127.0.0.1:9/v1#m", "--kv-reuse", "--json"
    )
    assert done.status == 2
    assert done.error["error"] == "UnsupportedError"
    assert "--no-kv-reuse" in done.error["hint"]


def test_an_interrupt_while_building_says_that_what_was_built_is_kept(ragkit, script):
    script.answers["build_cache"] = KeyboardInterrupt()
    done = ragkit("cache", "build", "--index", "x", "--json")
    assert done.status == 130
    assert "kept" in done.error["message"]
