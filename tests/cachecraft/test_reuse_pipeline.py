"""`Pipeline.ask(kv_reuse=...)` with real weights on a small index."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.config import PipelineConfig
from ragkit.errors import UnsupportedError
from ragkit.pipeline import Pipeline

from .small_index import make_index


@pytest.fixture(scope="module")
def index(tmp_path_factory, smollm_folder) -> Path:
    return make_index(tmp_path_factory.mktemp("reuse"), smollm_folder)


def configured(index: Path, **changes) -> PipelineConfig:
    config = PipelineConfig.from_yaml(index / "ragkit.yaml")
    assert config.kv_reuse is not None
    return config.model_copy(update={"kv_reuse": config.kv_reuse.model_copy(update=changes)})


def test_a_second_question_computes_less_and_at_share_one_says_the_same(index, tmp_path):
    at_one = configured(index, store=str(tmp_path), share=1.0)
    with Pipeline(index / "index", configured(index, store=str(tmp_path))) as pipeline:
        first = pipeline.ask("Where do barges carry salt?", 3, max_tokens=8)
        second = pipeline.ask("Why did barges lie idle with salt?", 3, max_tokens=8)
        off = pipeline.ask("Why did barges lie idle with salt?", 3, max_tokens=8, kv_reuse=False)
    with Pipeline(index / "index", at_one) as pipeline:
        repaired = pipeline.ask("Why did barges lie idle with salt?", 3, max_tokens=8)
    cold, warm = first.trace["kv_reuse"], second.trace["kv_reuse"]
    print(f"first token after {cold['first_token_seconds']:.2f} s and {warm['first_token_seconds']:.2f} s")
    assert cold["computed_tokens"] == cold["prompt_tokens"]
    assert warm["computed_tokens"] < 0.75 * warm["prompt_tokens"], "the probe's pass of the question counted"
    assert "kv_reuse" not in off.trace
    assert repaired.trace["kv_reuse"]["share"] == 1.0
    assert repaired.text == off.text


class Twice:
    """A controller that has another prompt answered before the one that counts."""

    name = "twice"

    def control(self, asking):
        hits = asking.retrieve()
        asking.answer(asking.select(hits[:1]), hits)
        return asking.answer(asking.select(hits), hits)


def test_with_a_controller_the_trace_tells_of_every_prompt(index, tmp_path, monkeypatch):
    with Pipeline(index / "index", configured(index, store=str(tmp_path))) as pipeline:
        once = pipeline.ask("Where do barges carry salt?", 3, max_tokens=1).trace
        monkeypatch.setattr("ragkit.pipeline.make_controller", lambda *_, **__: Twice())
        twice = pipeline.ask("Why did barges lie idle with salt?", 3, max_tokens=1).trace
    assert "kv_reuse_earlier" not in once
    (first,) = twice["kv_reuse_earlier"]
    assert 0 < first["prompt_tokens"] < twice["kv_reuse"]["prompt_tokens"]
    assert set(first) == set(twice["kv_reuse"])


@pytest.mark.parametrize("order", ["document", "cached"])
def test_the_order_of_the_sources_follows_the_setting(index, tmp_path, order):
    with Pipeline(index / "index", configured(index, store=str(tmp_path), order=order)) as pipeline:
        pipeline.ask("Where do barges carry salt?", 3, max_tokens=1)
        answer = pipeline.ask("Which lock lifts barges with salt?", 3, max_tokens=1)
    shown = [
        next(hit["source"] for hit in answer.trace["hits"] if hit["chunk_id"] == one) for one in answer.trace["kept"]
    ]
    if order == "document":
        assert shown == sorted(shown)
    else:
        assert answer.trace["kv_reuse"]["repaired_tokens"] == 0, "it is the order in which they were computed"


def test_a_served_model_is_refused_and_what_has_reuse_is_named(index):
    config = PipelineConfig(
        language_model={"name": "served", "options": {"base_url": "http://127.0.0.1:9/v1", "model": "m"}}
    )  # type: ignore[arg-type]
    with Pipeline(index / "index", config) as pipeline, pytest.raises(UnsupportedError, match="ServedLanguageModel"):
        pipeline.ask("What?", kv_reuse=True)


def test_two_pipelines_share_one_writer_and_the_last_one_releases_it(index, tmp_path):
    config = configured(index, store=str(tmp_path))
    with Pipeline(index / "index", config) as one:
        with Pipeline(index / "index", config) as other:
            assert one.reusing_model is other.reusing_model
            store = one.reusing_model.open().store
            assert not store.read_only
        assert one.reusing_model.open().store is store, "still in use"
    with Pipeline(index / "index", config) as again:
        assert again.reusing_model.open().store is not store
        assert not again.reusing_model.open().store.read_only
