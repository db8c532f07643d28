"""Scores that policies ask the model for, against matrices and planted tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ragkit.cachecraft.core.planning import full_plan
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.deviation import deviation_scores
from ragkit.cachecraft.hf.layers import layer_by_layer
from ragkit.cachecraft.hf.probe import probe_scores
from ragkit.errors import UsageError


@pytest.fixture
def alone(tiny, cached):
    """A prompt of a prefix and one chunk, whose cached keys and values are exact."""
    rng = np.random.default_rng(1)
    backend = HfBackend(tiny(layers=4, dtype=torch.float64), "tiny")
    return cached(backend, rng.integers(0, 101, 6), rng.integers(0, 101, (1, 30)), rng.integers(0, 101, 5))


def eager(prompt):
    """Return the attention of a full prefill, mean over heads, (layers, P, P)."""
    model = prompt.backend.model
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        out = model(torch.as_tensor(prompt.layout.ids[None].astype(np.int64)), output_attentions=True)
    model.set_attn_implementation(before)
    return torch.stack([layer[0].mean(0) for layer in out.attentions]).double().numpy()


# The probe


def test_over_an_exact_cache_the_probe_is_the_question_rows_of_the_full_matrix(alone):
    matrix = eager(alone)[:, -5:, 6:36]
    found = probe_scores(alone.backend, alone.plan(), alone.blobs)
    np.testing.assert_allclose(found.values[6:36], matrix.mean((0, 1)), atol=1e-6)
    assert not found.values[:6].any()
    assert not found.values[36:].any()
    assert found.tokens == 5
    assert found.token_layers == 20
    some = probe_scores(alone.backend, alone.plan(), alone.blobs, layers=[1, 3])
    np.testing.assert_allclose(some.values[6:36], matrix[[1, 3]].mean((0, 1)), atol=1e-6)


def test_fusions(alone):
    matrix = eager(alone)[:, -5:, 6:36].mean(1)
    shares = matrix / matrix.sum(1, keepdims=True)
    ranks = (matrix.argsort(1).argsort(1) + 1).mean(0) / 30
    for fusion, expected in (("share", shares.mean(0)), ("max", shares.max(0)), ("rank", ranks)):
        found = probe_scores(alone.backend, alone.plan(), alone.blobs, fusion=fusion).values[6:36]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(UsageError, match="median"):
        probe_scores(alone.backend, alone.plan(), alone.blobs, fusion="median")


def looking(tiny):
    """A model in which token 100 looks for token 99 and 98 away from it, in a slowly turning dimension of each head."""
    model = tiny(layers=3, scale=0.1)
    with torch.no_grad():
        weights = model.base_model.embed_tokens.weight
        weights[:, :2] = 0
        weights[100, 0] = 2
        weights[98, 0] = -2
        weights[99, 1] = 2
        for layer in model.base_model.layers:
            layer.self_attn.q_proj.weight[3::8, 0] = 3
            layer.self_attn.k_proj.weight[3::8, 1] = 3
    return model


def test_the_probe_finds_what_the_question_looks_for(tiny, cached):
    rng = np.random.default_rng(2)
    chunks = rng.integers(0, 90, (3, 16))
    chunks[1, 11] = 99
    backend = HfBackend(looking(tiny), "looking")
    asking = cached(backend, rng.integers(0, 90, 6), chunks, [100, 100, 100], [7])
    found = probe_scores(backend, asking.plan(), asking.blobs)
    where = asking.layout.spans[asking.layout.chunks[1]].start + 11
    assert found.values.argmax() == where
    assert found.values[where] > 5 * np.sort(found.values)[-2]
    assert found.tokens == 3 + 3  # the question, and glue before each chunk
    plan = asking.plan("query_probe", 1 / 48, scores=found.values)
    assert np.concatenate([one.repaired for one in plan.reused]).tolist() == [where]
    other = cached(backend, asking.layout.prefix, chunks, [98, 98, 98], [7])
    calm = probe_scores(backend, other.plan(), other.blobs).values
    assert calm[where] < np.median(calm[calm > 0])


# Deviations


@pytest.mark.parametrize("on", ["value", "key"])
def test_deviations_are_those_from_a_full_prefill(small, on):
    prompt = small(glue=[7, 8])
    full = prompt.backend.run(full_plan(prompt.layout), {}).key_values
    stitched = prompt.backend.loaded([prompt.plan()], prompt.blobs)
    gaps = [(getattr(one, f"{on}s")[1, 0].numpy()) for one in (full, stitched)]
    expected = ((gaps[0] - gaps[1]) ** 2).sum((0, 2))
    found = deviation_scores(prompt.backend, prompt.plan(), prompt.blobs, on=on)
    inside = np.concatenate([np.arange(*prompt.layout.spans[at]) for at in prompt.layout.chunks])
    np.testing.assert_allclose(found.values[inside], expected[inside], atol=1e-9)
    assert expected[inside].max() > 1e-3  # they do deviate
    assert not np.delete(found.values, inside).any()
    assert found.tokens == len(prompt.layout.ids) - 6  # all but the prefix
    assert found.tokens < found.token_layers < 2 * found.tokens


@pytest.mark.parametrize("on", ["value", "key"])
@pytest.mark.parametrize("layer", [1, 3])
def test_planted_deviations_are_found_and_no_others(alone, on, layer):
    planted = [3, 17, 29]
    alone.blobs["c1"][layer, 0 if on == "key" else 1, :, planted] += 0.1
    found = deviation_scores(alone.backend, alone.plan(), alone.blobs, on=on, layer=layer).values[6:36]
    np.testing.assert_allclose(found[planted], 2 * 8 * 0.01, rtol=1e-6)
    assert np.delete(found, planted).max() < 1e-12
    other = deviation_scores(
        alone.backend, alone.plan(), alone.blobs, on="key" if on == "value" else "value", layer=layer
    )
    assert other.values.max() < 1e-12
    scores = np.zeros(len(alone.layout.ids))
    scores[6:36] = found
    plan = alone.plan("hkvd", 0.1, scores=scores)
    assert plan.reused[1].repaired.tolist() == [6 + at for at in planted]


def test_the_first_layer_tells_nothing_and_is_refused(alone):
    for layer in (0, 4):
        with pytest.raises(UsageError, match="1 to 3"):
            deviation_scores(alone.backend, alone.plan(), alone.blobs, layer=layer)
    with pytest.raises(UsageError, match="norm"):
        deviation_scores(alone.backend, alone.plan(), alone.blobs, on="norm")


# What repairs are for (faithfulness 6, first half)


def question_error(prompt, plan, truth):
    with torch.inference_mode():
        layers = layer_by_layer(prompt.backend, prompt.backend.loaded([plan], prompt.blobs))
        tokens = layers.embed(plan.layout.ids[plan.fresh], plan.fresh)
        for layer in range(len(layers)):
            tokens = layers.run(layer, tokens)
    hidden = tokens.hidden[0, -5:]
    return hidden if truth is None else float((hidden - truth).norm() / truth.norm())


def test_the_error_of_the_question_falls_as_more_is_repaired(small):
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    errors = []
    for seed in range(5):
        prompt = small(seed=seed)
        truth = question_error(prompt, full_plan(prompt.layout), None)
        errors.append(
            [
                np.mean([question_error(prompt, prompt.plan("random", share, seed=draw), truth) for draw in range(2)])
                for share in shares
            ]
        )
    mean = np.mean(errors, 0)
    assert mean[0] > 1e-2
    assert (np.diff(mean) < 0).all(), mean
    assert mean[-1] < 1e-9
