"""The partial forward against whole prefills: what must be equal in every bit, and what must not leak."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.cachecraft.core.choice import Chosen
from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.planning import make_plan
from ragkit.cachecraft.core.policies import POLICIES
from ragkit.cachecraft.core.prompt import Kind, Layout, Piece
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import ChunkStatistics, Variant
from ragkit.cachecraft.hf.backend import HfBackend
from tests.cachecraft.hf import tiny
from tests.cachecraft.hf.rotary_types import configs

LAYOUT = tiny.prompt(30, 25, 40, seed=1)
ENGINE = tiny.backend()
ALONE = tiny.alone(ENGINE, LAYOUT)
CONTEXT = tiny.context(LAYOUT)
CONFIGS = configs(initializer_range=0.2)
DRAWN = "drawn"
PLANNED = [DRAWN, *sorted(set(POLICIES) - {"full"})]


class Made(NamedTuple):
    """An engine and the variants of LAYOUT that it made, each behind the prefix alone."""

    engine: HfBackend
    alone: dict[int, tuple[Variant, torch.Tensor]]


@cache
def made(name: str) -> Made:
    engine = HfBackend(tiny.model(config=CONFIGS[name]), name)
    return Made(engine, tiny.alone(engine, LAYOUT))


def repaired(share: float, seed: int = 0) -> Plan:
    picked = np.random.default_rng(seed).permutation(CONTEXT)[: round(share * len(CONTEXT))]
    return tiny.repairing(LAYOUT, ALONE, picked.tolist())


def planned(policy: str, share: float = 0.3, *, seed: int = 0, run_length: int = 1) -> Plan:
    """Return the plan of a policy over LAYOUT; the tokens that stand out are drawn."""
    if policy == DRAWN:
        return repaired(share, seed)
    draw = np.random.default_rng(seed)
    chosen = {
        at: Chosen(at, LAYOUT.spans[at].start, replace(variant, statistics=_statistics(draw, variant)), draw.random())
        for at, (variant, _) in ALONE.items()
    }
    repair = Repair(share=share, run_length=run_length, seed=seed)
    return make_plan(LAYOUT, chosen, {}, policy, repair, scores=draw.random(len(LAYOUT.ids)))


def _statistics(draw: np.random.Generator, variant: Variant) -> ChunkStatistics:
    return ChunkStatistics(draw.random(1), 0.01, 0.02, draw.random(variant.tokens).astype(np.float32))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_full_repair_equals_full_prefill_in_every_bit(attention, dtype):
    engine = tiny.backend(dtype, attention=attention)
    engine.model.set_attn_implementation(attention)
    variants = tiny.alone(engine, LAYOUT)
    plan = tiny.repairing(LAYOUT, variants, range(len(LAYOUT.ids)))
    assert plan.share == 1.0
    assert len(plan.reused) == 4
    state = engine.run(plan, tiny.blobs(variants), room=3)
    logits, keys, values = tiny.stock(engine, LAYOUT)
    end = len(LAYOUT.ids)
    assert torch.equal(state.logits, logits.to(state.logits.dtype))
    assert torch.equal(state.key_values.keys[:, 0, :, :end], keys)
    assert torch.equal(state.key_values.values[:, 0, :, :end], values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_same_history_and_place_without_repair_equals_full_prefill(dtype):
    engine = tiny.backend(dtype)
    variants = tiny.in_place(engine, LAYOUT)
    state = engine.run(tiny.repairing(LAYOUT, variants, []), tiny.blobs(variants))
    logits, keys, values = tiny.stock(engine, LAYOUT)
    end = len(LAYOUT.ids)
    loaded = sorted(set(range(end)) - set(state.plan.fresh.tolist()))
    assert len(loaded) == len(CONTEXT) + 4
    assert torch.equal(state.key_values.keys[:, 0, :, loaded], keys[:, :, loaded])
    assert torch.equal(state.key_values.values[:, 0, :, loaded], values[:, :, loaded])
    # Fresh tokens go through products of another height, which may round differently in the last bits.
    close = {"rtol": 0.0, "atol": {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]}
    torch.testing.assert_close(state.logits, logits.to(state.logits.dtype), **close)
    torch.testing.assert_close(state.key_values.keys[:, 0, :, :end], keys, **close)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5, 1.0])
def test_nothing_is_read_before_it_is_written(share):
    check_nothing_is_read_before_it_is_written(Made(ENGINE, ALONE), repaired(share))


@pytest.mark.parametrize("run_length", [1, 8])
@pytest.mark.parametrize("policy", PLANNED)
@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_is_read_before_it_is_written_with_any_rotary_type_and_policy(name, policy, run_length):
    check_nothing_is_read_before_it_is_written(made(name), planned(policy, run_length=run_length))


def check_nothing_is_read_before_it_is_written(by: Made, plan: Plan) -> None:
    engine, blobs = by.engine, tiny.blobs(by.alone)
    expected = engine.run(plan, blobs, room=5)
    cache = engine.loaded([plan], blobs, room=5)
    unwritten = [*plan.fresh.tolist(), *range(len(LAYOUT.ids), cache.capacity + 1)]
    for buffer in (cache.keys, cache.values):
        buffer[:, :, :, unwritten] = torch.nan
    state = engine.compute(cache, [plan])[0]
    assert torch.equal(state.logits, expected.logits)
    end = len(LAYOUT.ids)
    for buffer in (cache.keys, cache.values):
        assert not buffer[:, :, :, :end].isnan().any()
    assert engine.decode([state], 6) == engine.decode([expected], 6)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=12)
@given(st.sampled_from(PLANNED), st.floats(0, 1), st.integers(1, 9), st.integers(0, 99), st.data())
def test_split_anywhere_in_ascending_order_is_the_same(name, policy, share, run_length, seed, data):
    engine, alone = made(name)
    plan = planned(policy, share, seed=seed, run_length=run_length)
    whole = engine.run(plan, tiny.blobs(alone))
    cuts = data.draw(st.lists(st.integers(1, len(plan.fresh) - 1), max_size=4, unique=True))
    cache = engine.loaded([plan], tiny.blobs(alone))
    for buffer in (cache.keys, cache.values):
        buffer[:, :, :, plan.fresh] = torch.nan
    bounds = [0, *sorted(cuts), len(plan.fresh)]
    for start, end in itertools.pairwise(bounds):
        state = engine.compute(cache, [dataclasses.replace(plan, fresh=plan.fresh[start:end])])[0]
    close = {"rtol": 1e-9, "atol": 1e-9}  # products of another height round differently in the last bits
    torch.testing.assert_close(state.logits, whole.logits, **close)
    end = len(LAYOUT.ids)
    torch.testing.assert_close(cache.keys[..., :end, :], whole.key_values.keys[..., :end, :], **close)
    torch.testing.assert_close(cache.values[..., :end, :], whole.key_values.values[..., :end, :], **close)


def leak(by: Made, plan: Plan, mask: str) -> float:
    """Return how much the fresh keys up to a place change when the tokens of a later chunk do."""
    engine, alone = by
    place = LAYOUT.spans[3].end
    found = []
    for token in (5, 6):
        last = LAYOUT.pieces[5].ids.copy()
        last[:] = token
        changed = Layout((*LAYOUT.pieces[:5], Piece(Kind.CHUNK, last), *LAYOUT.pieces[6:]))
        variants = {**alone, 5: tiny.alone(engine, changed)[5]}
        again = tiny.repairing(changed, variants, [at for at in plan.fresh.tolist() if at in CONTEXT])
        state = engine.run(again, tiny.blobs(variants), mask=mask)
        early = again.fresh[again.fresh < place]
        found.append(state.key_values.keys[:, 0, :, early])
    return float((found[0] - found[1]).abs().max())


@pytest.mark.parametrize("policy", PLANNED)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_later_token_changes_nothing_before_it(name, policy):
    assert leak(made(name), planned(policy), "exact") == 0.0


@pytest.mark.parametrize("name", CONFIGS)
def test_the_bottom_right_mask_does_leak(name):
    assert leak(made(name), planned(DRAWN), "bottom_right") > 1e-3


def test_both_masks_agree_where_everything_is_fresh():
    plan = tiny.everything(LAYOUT)
    assert torch.equal(ENGINE.run(plan, {}).logits, ENGINE.run(plan, {}, mask="bottom_right").logits)


def test_repair_lowers_the_error_of_the_logits():
    exact = ENGINE.run(tiny.everything(LAYOUT), {}).logits
    errors = []
    for share in (0.0, 0.5, 0.9):
        runs = [ENGINE.run(repaired(share, seed), tiny.blobs(ALONE)).logits for seed in range(8)]
        errors.append(np.mean([float((logits - exact).norm()) for logits in runs]))
    assert errors[0] > errors[1] > errors[2] > 0


def test_the_model_keeps_its_own_attention():
    engine = tiny.backend(torch.float32)
    before = engine.model.config._attn_implementation
    engine.run(tiny.everything(LAYOUT), {})
    assert engine.model.config._attn_implementation == before
