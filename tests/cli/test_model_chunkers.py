"""`ragkit index` and `ragkit chunk` with chunkers that ask a language model, from options and from YAML."""

from __future__ import annotations

import json

import pytest

from tests.small_files import change


@pytest.fixture
def documents(tmp_path):
    change(tmp_path / "documents", 5)
    return tmp_path / "documents"


def test_index_and_ask_again_without_a_model(ragkit, documents, tmp_path):
    place = ("--index", tmp_path / "index", "--json")
    settings = ("--chunker", "perplexity", "--chunker-model", "cache", "--chunk-size", "24", "--embedder", "hashing")
    first = ragkit("index", documents, *settings, *place).reply
    assert first["chunks"] > first["documents"] > 3
    assert ragkit("index", documents, *place).reply["unchanged"] == first["documents"]
    hits = ragkit("query", "harbour", *place).reply["hits"]
    assert hits[0]["metadata"]["approximate"] is True
    refused = ragkit("index", documents, "--chunker", "perplexity", "--chunk-size", "25", *place)
    assert refused.error["error"] == "IndexMismatchError"


def test_the_same_in_yaml(ragkit, documents, tmp_path):
    config = tmp_path / "ragkit.yaml"
    config.write_text(
        "chunker: {name: perplexity, model: cache, size: 24, policy: length_matched, target: 12}\n"
        "embedder: {name: hashing}\n"
    )
    report = ragkit("index", documents, "--config", config, "--index", tmp_path / "index", "--json").reply
    assert report["chunks"] > report["documents"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--chunker", "recursive", "--chunker-model", "cache"), "ConfigError", "no option 'model'"),
        (("--chunker", "margin_sampling", "--chunker-model", "cache"), "UnsupportedError", "cannot answer"),
        (("--chunker", "perplexity", "--chunker-model", "no-such-model"), "ModelError", "no-such-model"),
        (("--chunker", "perplexity", "--overlap", "20"), "ConfigError", "'overlap' of the chunker 'perplexity'"),
        (("--chunker", "perplexity", "--chunker-model", "http://127.0.0.1:9/v1"), "", "127.0.0.1:9"),
    ],
)
def test_what_does_not_fit_is_said(ragkit, documents, tmp_path, arguments, error, message):
    common = ("--chunk-size", "24", "--embedder", "hashing", "--index", tmp_path / "index", "--json")
    outcome = ragkit("index", documents, *arguments, *common)
    found = json.loads(outcome.err)
    assert message in found["message"]
    assert error in found["error"]


def test_chunk_shows_what_a_model_cuts(ragkit, documents):
    settings = ("--chunker", "perplexity", "--chunker-model", "cache", "--chunk-size", "24", "--embedder", "hashing")
    reply = ragkit("chunk", documents / "always.txt", *settings, "--json").reply
    text = (documents / "always.txt").read_text()
    assert len(reply["chunks"]) > 3
    assert all(chunk["text"] == text[chunk["start"] : chunk["end"]] for chunk in reply["chunks"])


def test_a_file_indexed_with_the_local_model(ragkit, smollm_folder, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("The harbour froze. Ships waited for weeks. Copper prices rose. The mint struck fewer coins.")
    common = ("--chunk-size", "16", "--embedder", "hashing", "--index", tmp_path / "index", "--json")
    report = ragkit("index", path, "--chunker", "perplexity", *common).reply
    assert report["chunks"] >= 2
