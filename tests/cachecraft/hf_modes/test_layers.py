"""The own layer loop, and the modes whose set of tokens shrinks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from ragkit.cachecraft.core.planning import full_plan
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.deviation import deviation_scores
from ragkit.cachecraft.hf.early import run_early
from ragkit.cachecraft.hf.focus import FocusRule
from ragkit.cachecraft.hf.layers import layer_by_layer
from ragkit.cachecraft.hf.narrowing import narrowing_shares, run_narrowed
from ragkit.errors import UnsupportedError, UsageError


def whole_loop(prompt, plan):
    with torch.inference_mode():
        layers = layer_by_layer(prompt.backend, prompt.backend.loaded([plan], prompt.blobs))
        tokens = layers.embed(plan.layout.ids[plan.fresh], plan.fresh)
        for layer in range(len(layers)):
            tokens = layers.run(layer, tokens)
        return layers, layers.logits(tokens)


def same(found, expected, atol):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_constant_set_equals_the_backend(small, share):
    prompt = small(glue=[7, 8])
    plan = prompt.plan("random", share)
    state = prompt.backend.run(plan, prompt.blobs)
    layers, logits = whole_loop(prompt, plan)
    same(logits, state.logits, 1e-10)
    same(layers.cache.keys[..., :-1, :], state.key_values.keys[..., :-1, :], 1e-10)
    same(layers.cache.values[..., :-1, :], state.key_values.values[..., :-1, :], 1e-10)


def test_half_precision(small):
    prompt = small(dtype=torch.bfloat16)
    plan = prompt.plan("random", 0.3)
    state = prompt.backend.run(plan, prompt.blobs)
    _, logits = whole_loop(prompt, plan)
    assert torch.equal(logits, state.logits)  # the same operations in the same order


def test_everything_fresh_equals_the_model(small):
    prompt = small()
    _, logits = whole_loop(prompt, full_plan(prompt.layout))
    with torch.inference_mode():
        model = prompt.backend.model(torch.as_tensor(prompt.layout.ids[None].astype(np.int64)))
    same(logits, model.logits[0, -1], 1e-10)


def test_projections_are_what_a_full_prefill_has(small):
    prompt = small()
    full = prompt.backend.run(full_plan(prompt.layout), {}).key_values
    positions = np.arange(len(prompt.layout.ids))
    with torch.inference_mode():
        layers = layer_by_layer(prompt.backend, prompt.backend.loaded([prompt.plan()], prompt.blobs))
        tokens = layers.embed(prompt.layout.ids, positions)
        for layer in range(len(layers)):
            keys, values = layers.project(layer, tokens)
            same(keys, full.keys[layer, 0, :, : len(positions)], 1e-10)
            same(values, full.values[layer, 0, :, : len(positions)], 1e-10)
            tokens = layers.run(layer, tokens)
    assert 0 < layers.projections < 0.5


def test_a_model_that_does_more_between_its_layers_is_refused():
    """Granite multiplies its embeddings and divides its logits, outside of its layers."""
    from transformers import GraniteConfig, GraniteForCausalLM

    torch.manual_seed(0)
    config = GraniteConfig(
        vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, embedding_multiplier=3.0, logits_scaling=2.0,
    )  # fmt: skip
    backend = HfBackend(GraniteForCausalLM(config).eval(), "tiny")
    with pytest.raises(UnsupportedError, match="other logits"):
        layer_by_layer(backend, backend.loaded([full_plan(_layout())], {}))


def _layout():
    from ragkit.cachecraft.core.prompt import Kind, Layout, Piece

    return Layout((Piece(Kind.QUESTION, np.arange(4, dtype=np.int32)),))


# Narrowing


def test_shares_fall_from_a_little_above_and_have_the_mean_that_was_asked():
    shares = narrowing_shares(11, 0.15)
    assert shares[0] == 1
    assert (np.diff(shares) < 0).all()
    assert shares[1:].mean() == pytest.approx(0.15)
    assert shares[1] == pytest.approx(0.225)
    assert narrowing_shares(10, 0.2, counted="all").mean() == pytest.approx(0.2)
    assert narrowing_shares(4, 0.9).max() == 1  # the spread is cut where it would pass 1
    np.testing.assert_allclose(narrowing_shares(4, 0.0), [1, 0, 0, 0])
    for arguments in ((4, 1.2), (1, 0.5)):
        with pytest.raises(UsageError):
            narrowing_shares(*arguments)
    with pytest.raises(UsageError):
        narrowing_shares(10, 0.05, counted="all")


@pytest.mark.parametrize("on", ["value", "key"])
def test_without_narrowing_it_is_the_static_plan_by_deviation(small, on):
    prompt = small(glue=[7, 8])
    scores = deviation_scores(prompt.backend, prompt.plan(), prompt.blobs, on=on)
    static = prompt.plan("hkvd", 0.25, scores=scores.values)
    found = run_narrowed(prompt.backend, prompt.plan(), prompt.blobs, narrowing_shares(4, 0.25, spread=0.0), on=on)
    np.testing.assert_array_equal(found.repaired[1], np.sort(np.concatenate([r.repaired for r in static.reused])))
    same(found.state.logits, prompt.backend.run(static, prompt.blobs).logits, 1e-9)


def test_each_set_is_part_of_the_one_below_and_the_cost_is_what_ran(small):
    prompt = small()
    shares = narrowing_shares(4, 0.3, spread=0.6)
    found = run_narrowed(prompt.backend, prompt.plan(), prompt.blobs, shares)
    assert [len(one) for one in found.repaired] == [48, *(round(share * 48) for share in shares[1:])]
    for below, above in pairwise(found.repaired):
        assert set(above) < set(below)
    layers = layer_by_layer(prompt.backend, found.state.key_values)
    sizes = [len(one) + 5 for one in found.repaired]
    projected = sum(below - above for below, above in pairwise(sizes))
    assert found.token_layers == pytest.approx(sum(sizes) + projected * layers.projections)
    assert found.token_layers < 53 * 4
    # Above the first layer, tokens that were dropped have their cached keys and values.
    dropped = np.setdiff1d(found.repaired[0], found.repaired[1])
    plain = prompt.backend.loaded([prompt.plan()], prompt.blobs)
    assert torch.equal(found.state.key_values.values[1:, 0][:, :, dropped], plain.values[1:, 0][:, :, dropped])


def test_all_shares_one_equals_full_recompute(small):
    prompt = small()
    found = run_narrowed(prompt.backend, prompt.plan(), prompt.blobs, np.ones(4))
    full = prompt.backend.run(full_plan(prompt.layout), {})
    same(found.state.logits, full.logits, 1e-9)
    assert found.token_layers == 53 * 4  # the prefix is not computed


@pytest.mark.parametrize("shares", [[1, 0.5], [0.5, 0.5, 0.5, 0.5], [1, 0.2, 0.3, 0.1], [1, 0, 0, -1]])
def test_wrong_shares_are_refused(small, shares):
    prompt = small()
    with pytest.raises(UsageError):
        run_narrowed(prompt.backend, prompt.plan(), prompt.blobs, shares)


# Early termination


def test_repairs_of_unfocused_chunks_stop_where_the_focus_is_settled(small):
    prompt = small(layers=6, glue=[7, 8])
    plan = prompt.plan("random", 0.5)
    found = run_early(prompt.backend, plan, prompt.blobs, rule=FocusRule(least=1, window=1))
    assert found.stop == 1
    assert found.focus < set(plan.layout.chunks)  # else nothing would stop
    stopped = np.concatenate([r.repaired for r in plan.reused if r.piece and r.piece not in found.focus])
    assert len(stopped)
    assert found.token_layers == 2 * len(plan.fresh) + 4 * (len(plan.fresh) - len(stopped))
    assert found.planned_token_layers == 6 * len(plan.fresh)
    plain = prompt.backend.loaded([prompt.plan()], prompt.blobs).values[:, 0]
    static = prompt.backend.run(plan, prompt.blobs)
    mine = found.state.key_values.values[:, 0]
    assert torch.equal(mine[2:][:, :, stopped], plain[2:][:, :, stopped])  # cached again above the stop
    same(mine[:2][:, :, stopped], static.key_values.values[:2, 0][:, :, stopped], 1e-10)  # repaired up to it
    assert not torch.allclose(found.state.logits, static.logits, atol=1e-9)
    assert len(prompt.backend.decode([found.state], 1)[0]) == 1


def test_a_focus_that_never_settles_changes_nothing(small):
    prompt = small(layers=4)
    plan = prompt.plan("random", 0.5)
    found = run_early(prompt.backend, plan, prompt.blobs, rule=FocusRule(least=4))
    assert found.stop is None
    assert found.token_layers == found.planned_token_layers
    same(found.state.logits, prompt.backend.run(plan, prompt.blobs).logits, 1e-9)


def test_a_prompt_without_chunks_and_a_cold_prompt(small, tiny):
    prompt = small()
    cold = full_plan(prompt.layout)
    found = run_early(prompt.backend, cold, {}, rule=FocusRule(least=0, window=1))
    assert found.token_layers == found.planned_token_layers  # nothing was a repair
    same(found.state.logits, prompt.backend.run(cold, {}).logits, 1e-9)
    bare = run_early(prompt.backend, full_plan(_layout()), {})
    assert bare.stop is None
    assert not bare.focus
