"""The training loop on a tiny encoder: it learns, repeats itself, and leaves nothing half-written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ragkit.config import KvReuseConfig, PipelineConfig
from ragkit.errors import ConfigError, ModelError, UsageError
from ragkit.eval.types import EvalSet
from ragkit.rerankers.cross_encoder import CrossEncoderReranker
from ragkit.train import reranker
from ragkit.train.cloze import cloze_groups
from ragkit.train.groups import Drawing, groups
from ragkit.train.mining import asked_of
from ragkit.train.ranking import paired, ranking
from ragkit.train.reranker import Settings, train_reranker
from ragkit.train.settings import Steps
from tests.train.conftest import make_set


def settings(encoder, **changes) -> Settings:
    steps = Steps(**{"epochs": 3, "batch": 4, "rate": 5e-3, "length": 64, **changes})
    return Settings(
        encoder=str(encoder), held_out=0.2, patience=3, k=12, drawing=Drawing(size=6, chunks=0.2), steps=steps
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_encoder, things, config):
    folder = tmp_path_factory.mktemp("trained")
    config = config.model_copy(update={"kv_reuse": KvReuseConfig(remote="valkey://:s3cret@localhost")})
    return train_reranker([things], folder / "judge", settings(tiny_encoder), config=config, work=folder / "work")


def test_training_lowers_the_loss_and_finds_held_out_evidence(trained):
    losses = [row["loss"] for row in trained.card.epochs]
    assert losses[-1] < 0.5 * losses[0]
    first, best = trained.card.epochs[0], trained.card.held_out["trained"]
    assert best["reciprocal rank"] >= first["reciprocal rank"]
    assert {"trained", "cosine", "fusion"} == set(trained.card.held_out)


def test_the_folder_is_a_cross_encoder_with_its_card(trained):
    judge = CrossEncoderReranker(str(trained.folder), device="cpu")
    scores = judge.score("Which colour has the kiln of house 3?", ["The kiln of house 3 is white.", "The coat."])
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    card = json.loads((trained.folder / "ragkit_card.json").read_text(encoding="utf-8"))
    assert card["data"][0]["fingerprint"] == "things-6"
    assert card["settings"]["steps"]["seed"] == 0
    assert card["settings"]["pipeline"]["kv_reuse"]["share"] == 0.3
    assert not [path for path in trained.folder.iterdir() if b"s3cret" in path.read_bytes()], "of the remote store"
    assert "things-6" in (trained.folder / "README.md").read_text(encoding="utf-8")
    assert not [path for path in trained.folder.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, tiny_encoder, things, config):
    def weights(name: str, seed: int) -> bytes:
        made = train_reranker(
            [things],
            tmp_path / name,
            settings(tiny_encoder, epochs=1, seed=seed),
            config=config,
            work=tmp_path / "work",
        )
        return (made.folder / "model.safetensors").read_bytes()

    assert weights("a", 0) == weights("b", 0)
    assert weights("a2", 0) != weights("c", 1)


def test_an_interrupted_training_leaves_no_folder(tmp_path, tiny_encoder, things, config):
    def interrupt(stage: str, done: int, total: int | None) -> None:
        if stage == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_reranker([things], tmp_path / "judge", settings(tiny_encoder), config=config, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_kept_unless_forced(tmp_path, tiny_encoder, things, config):
    out = tmp_path / "judge"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        train_reranker([things], out, settings(tiny_encoder), config=config)
    assert (out / "mine.txt").read_text() == "mine"
    train_reranker([things], out, settings(tiny_encoder, epochs=1), config=config, force=True)
    assert not (out / "mine.txt").exists()
    assert (out / "model.safetensors").exists()


def test_sets_that_cannot_teach_are_refused(tmp_path, tiny_encoder, things, config):
    bare = EvalSet("bare", things.documents, (), fingerprint="bare")
    with pytest.raises(UsageError, match="bare"):
        train_reranker([things, bare], tmp_path / "judge", settings(tiny_encoder), config=config)
    few = make_set("few", 1)
    with pytest.raises(UsageError, match="questions to learn from"):
        train_reranker([few], tmp_path / "judge", settings(tiny_encoder), config=config)
    with pytest.raises(ModelError):
        train_reranker([things], tmp_path / "judge", settings(tmp_path / "no such encoder"), config=config)
    assert list(tmp_path.iterdir()) == []


def test_held_out_questions_share_no_evidence_document(things):
    held = reranker.held_out_ids(things, [one.query_id for one in things.queries], Settings(held_out=0.3))
    inside = {one.evidence[0].doc_id for one in things.queries if one.query_id in held}
    outside = {one.evidence[0].doc_id for one in things.queries if one.query_id not in held}
    assert held
    assert not inside & outside


def test_groups_hold_evidence_and_other_texts_and_change_with_the_epoch(tmp_path, things, config):
    asked = asked_of(things, tmp_path / "index", config, k=8)
    drawing = Drawing(size=5, positives=1, chunks=0.5, cloze=1)
    first = list(groups(asked, drawing, 0, 0))
    assert [group.texts for group in first] == [group.texts for group in groups(asked, drawing, 0, 0)]
    assert [group.texts for group in first] != [group.texts for group in groups(asked, drawing, 0, 1)]
    for group in [*first, *cloze_groups(asked, drawing, 0)]:
        assert len(group.texts) == len(group.holds) <= 5
        assert 0 < group.holds.sum() < len(group.holds)


def test_the_ranking_of_an_oracle_is_perfect_and_of_its_opposite_is_not(tmp_path, things, config):
    asked = [one for one in asked_of(things, tmp_path / "index", config, k=8) if one.found]

    def scoring(sign: float):
        waiting = iter(asked)

        def score(_question, _hits, sentences):
            one = next(waiting)
            pairs = zip(one.labels, sentences, strict=False)
            return [np.array([sign * (label is True) for label in own[: len(spans)]]) for own, spans in pairs]

        return score

    oracle, opposite = ranking(asked, scoring(1.0)), ranking(asked, scoring(-1.0))
    assert oracle.means() == {"recall within half": 1.0, "reciprocal rank": 1.0}
    assert opposite.reciprocal.max() < 1.0
    gain = paired(oracle.recall, opposite.recall)
    assert gain["low"] <= gain["mean"] <= gain["high"]


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch": 0}, {"rate": 0.0}, {"rate": math.nan}, {"length": 4}])
def test_impossible_steps_are_refused(wrong):
    with pytest.raises(ConfigError):
        Steps(**wrong)


@pytest.mark.parametrize("size", [2, 3, 4, 16])
def test_groups_of_any_size_hold_evidence_and_other_texts(tmp_path, things, size):
    longer = PipelineConfig.from_mapping(
        {"chunker": {"name": "recursive", "size": 40}, "embedder": "hashing", "retriever": "lexical"}
    )
    asked = asked_of(things, tmp_path / "index", longer, k=8)
    drawing = Drawing(size=size, chunks=0.5, cloze=1)
    drawn, cloze = list(groups(asked, drawing, 0, 0)), list(cloze_groups(asked, drawing, 0))
    assert len(cloze) > len(asked) / 2
    for group in [*drawn, *cloze]:
        assert len(group.texts) == len(group.holds) <= size
        assert 0 < group.holds.sum() < len(group.holds)


@pytest.mark.parametrize("wrong", [{"size": 1}, {"positives": 0}])
def test_impossible_groups_are_refused(wrong):
    with pytest.raises(ConfigError, match="A group of"):
        Drawing(**wrong)


@pytest.mark.parametrize("wrong", [{"held_out": 0.0}, {"held_out": 1.5}, {"held_out": math.nan}, {"k": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="held_out"):
        Settings(**wrong)


def test_a_device_that_is_not_there_is_refused_before_anything_is_computed(tmp_path, tiny_encoder, things, config):
    done: list[str] = []

    def noting(stage: str, _done: int, _total: int | None) -> None:
        done.append(stage)

    for device in ("gpu0", "cuda:99", "meta:x"):
        with pytest.raises(ConfigError, match=f"no device '{device}'"):
            train_reranker(
                [things], tmp_path / "judge", settings(tiny_encoder), config=config, device=device, progress=noting
            )
    assert not done
    assert list(tmp_path.iterdir()) == []


def test_another_configuration_finds_another_index_in_the_work_folder(tmp_path, things, config):
    longer = config.model_copy(update={"chunker": config.chunker.with_options(size=60)})
    for one in (config, longer, config):
        train, held, _ = reranker._data([things], tmp_path, Settings(held_out=0.2, k=12), one, None)
        assert len(train) + len(held) == len(things.queries)
    assert len(list(tmp_path.iterdir())) == 2
    other = config.model_copy(update={"selector": config.selector.with_options(k=2)})
    assert reranker.index_name(things, other) == reranker.index_name(things, config)
