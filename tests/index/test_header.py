"""What an index knows of the configuration it was built with, and what it must not know."""

from __future__ import annotations

import json

from ragkit.config import PipelineConfig
from ragkit.index.create import create_index
from ragkit.index.header import IndexHeader
from ragkit.index.snapshot import Snapshot

SECRET = "valkey://user:hunter2@cache.internal:6379/0"
CONFIG = PipelineConfig.from_mapping({"kv_reuse": {"share": 0.2, "store": "kv", "remote": SECRET}})


def header(config: PipelineConfig = CONFIG) -> IndexHeader:
    return IndexHeader("test", config, "embedder", "chunker", 16)


def test_the_password_of_a_remote_store_is_in_no_file_of_the_index(tmp_path):
    create_index(tmp_path / "index", header())
    files = [path for path in (tmp_path / "index").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert b"hunter2" not in path.read_bytes(), path
    with Snapshot(tmp_path / "index") as snapshot:
        kept = snapshot.header.config.kv_reuse
    assert kept is not None
    assert (kept.share, kept.store, kept.remote) == (0.2, "kv", None), "the rest is as it was configured"


def test_without_chunk_reuse_the_header_comes_back_as_it_was():
    assert IndexHeader.from_json(header(PipelineConfig()).to_json()) == header(PipelineConfig())


def test_an_index_that_has_the_address_still_opens():
    fields = json.loads(header().to_json())
    fields["config"]["kv_reuse"]["remote"] = SECRET
    old = IndexHeader.from_json(json.dumps(fields))
    assert old == header()
    assert "hunter2" not in old.to_json(), "the next commit leaves it out"
