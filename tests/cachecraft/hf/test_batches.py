"""Many prompts at once: what each row gets is what its prompt gets alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.prompt import Kind, Layout
from ragkit.cachecraft.hf import attention
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.grouping import shards, slices
from ragkit.cachecraft.hf.visibility import PAD, make_pass
from ragkit.errors import UsageError
from ragkit.inference import Sampling
from ragkit.models.causal.generation import write
from tests.cachecraft.hf import tiny

LAYOUTS = [tiny.prompt(20, 25, seed=1), tiny.prompt(33, 12, 18, seed=2, question=9)]
ENGINE = tiny.backend()
VARIANTS = [tiny.alone(ENGINE, layout) for layout in LAYOUTS]
BLOBS = {name: tensor for variants in VARIANTS for name, tensor in tiny.blobs(variants).items()}


def plans(which=(0, 1)):
    found = []
    for at in which:
        context = np.array(tiny.context(LAYOUTS[at]))
        for share in (0.0, 0.2, 0.3, 1.0):
            picked = np.random.default_rng(at).permutation(context)[: round(share * len(context))]
            found.append(tiny.repairing(LAYOUTS[at], VARIANTS[at], picked.tolist()))
        found.append(tiny.everything(LAYOUTS[at]))
    return found


@pytest.mark.parametrize("which", [(0,), (0, 1)])
@pytest.mark.parametrize("floor", [0, 10_000])
@pytest.mark.parametrize("cache_bytes", [None, 200_000])
def test_a_batch_equals_single_runs(which, floor, cache_bytes):
    engine = HfBackend(ENGINE.model, "tiny", cache_bytes=cache_bytes)
    engine._floor = floor
    many = engine.run_many(plans(which), BLOBS, room=7)
    caches = {id(state.key_values) for state in many}
    assert (len(caches) > 1) == (cache_bytes is not None)
    for state, plan in zip(many, plans(which), strict=True):
        single = ENGINE.run(plan, BLOBS, room=7)
        assert state.plan.layout is plan.layout
        torch.testing.assert_close(state.logits, single.logits, rtol=0, atol=1e-12)
        for piece in range(len(plan.layout.pieces)):
            torch.testing.assert_close(engine.capture(state, piece), ENGINE.capture(single, piece), rtol=0, atol=1e-12)
    assert engine.decode(many, 8) == [ENGINE.decode([ENGINE.run(plan, BLOBS, room=7)], 8)[0] for plan in plans(which)]


def test_bottom_right_in_a_batch_equals_single_runs():
    many = ENGINE.run_many(plans(), BLOBS, mask="bottom_right")
    for state, plan in zip(many, plans(), strict=True):
        single = ENGINE.run(plan, BLOBS, mask="bottom_right")
        torch.testing.assert_close(state.logits, single.logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.9, seed=3), Sampling(repetition_penalty=1.3)])
def test_replies_are_the_local_models(sampling):
    full = [tiny.everything(layout) for layout in LAYOUTS]
    prompts = [layout.ids.tolist() for layout in LAYOUTS]
    model = tiny.model(torch.float32)
    engine = HfBackend(model, "tiny")
    ends = [5, 50, 80]
    theirs = [write("tiny", model, [ids], max_tokens=20, ends=ends, pad=0, sampling=sampling)[0] for ids in prompts]
    states = engine.run_many(full, {}, room=20)
    ours = engine.decode(states, 20, sampling=sampling, ends=ends)
    assert ours == [reply.tokens for reply in theirs]
    assert [list(engine.stream(state, 20, sampling=sampling, ends=ends)) for state in states] == ours
    assert engine.decode(states[::-1], 20, sampling=sampling, ends=ends) == ours[::-1]


def test_forced_logits_are_those_of_the_whole_text():
    states = ENGINE.run_many([tiny.everything(layout) for layout in LAYOUTS] * 2, {}, room=9)
    replies = [np.array(reply, np.int32) for reply in ([7, 8, 9, 10], [11, 12], [20], [30, 31, 32])]
    found = ENGINE.forced(states, replies)
    for state, reply, logits in zip(states, replies, found, strict=True):
        ids = torch.tensor([[*state.plan.layout.ids.tolist(), *reply.tolist()]])
        with torch.inference_mode():
            whole = ENGINE.model(input_ids=ids).logits[0, state.length - 1 : -1]
        torch.testing.assert_close(logits, whole, rtol=0, atol=1e-12)
    assert torch.equal(ENGINE.forced(states, replies)[0], found[0])  # a state is not used up


def test_a_chunk_that_stands_twice():
    once = tiny.prompt(15, 10, seed=5)
    layout = Layout((*once.pieces[:-1], once.pieces[1], once.pieces[-1]))
    variants = tiny.alone(ENGINE, layout)
    twice = [at for at, piece in enumerate(layout.pieces) if piece is once.pieces[1]]
    assert len(twice) == 2
    assert variants[twice[0]][0].name == variants[twice[1]][0].name
    plan = tiny.repairing(layout, variants, tiny.context(layout))
    assert torch.equal(ENGINE.run(plan, tiny.blobs(variants)).logits, tiny.stock(ENGINE, layout)[0])
    state = ENGINE.run(tiny.repairing(layout, variants, []), tiny.blobs(variants))
    first, second = (ENGINE.capture(state, at) for at in twice)
    assert torch.equal(first[:, 1], second[:, 1])
    start, moved = (layout.spans[at].start for at in twice)
    torch.testing.assert_close(ENGINE.rotary.moved(first[:, 0], start, moved), second[:, 0], rtol=0, atol=1e-12)


def test_prefill_many_equals_prefill():
    pieces = [[*layout.pieces[:1], piece] for layout in LAYOUTS for piece in layout.pieces if piece.kind is Kind.CHUNK]
    for state, alone in zip(ENGINE.prefill_many(pieces), pieces, strict=True):
        single = ENGINE.prefill(alone)
        assert state.length == sum(len(piece.ids) for piece in alone)
        torch.testing.assert_close(ENGINE.capture(state, 1), ENGINE.capture(single, 1), rtol=0, atol=1e-12)


def test_folded_heads_as_on_a_gpu_are_the_same():
    drawn = torch.Generator().manual_seed(0)
    positions = np.array([[PAD, 3, 4, 9, 11, 15], [0, 1, 7, 8, 14, 15]])
    query = torch.randn(2, 6, 6, 8, generator=drawn, dtype=torch.float64)
    key, value = (torch.randn(2, 2, 16, 8, generator=drawn, dtype=torch.float64) for _ in range(2))
    found = []
    for groups, block in ((1, 64), (1, 2), (3, 64), (3, 4)):
        current = make_pass(positions, spare=20, dtype=torch.float64, device=query.device, block=block, groups=groups)
        mark = attention._current.set(current)
        found.append(attention.partial_attention(ENGINE.model, query, key, value, None, scaling=0.3)[0])
        attention._current.reset(mark)
    hidden = torch.from_numpy(np.arange(16) > np.maximum(positions, 0)[..., None])[:, None]
    scores = 0.3 * query @ key.repeat_interleave(3, 1).transpose(2, 3)
    true = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value.repeat_interleave(3, 1)
    for one in found:
        torch.testing.assert_close(one, true.transpose(1, 2), rtol=0, atol=1e-13)


def test_bad_calls():
    plan = plans((0,))[0]
    with pytest.raises(UsageError, match="were not given"):
        ENGINE.run(plan, {})
    state = ENGINE.run(plan, BLOBS, room=2)
    with pytest.raises(UsageError, match="room for 2"):
        ENGINE.decode([state], 4)
    with pytest.raises(UsageError, match="at least one token"):
        ENGINE.forced([state], [np.zeros(0, np.int32)])
    wrong = {name: tensor.float() for name, tensor in BLOBS.items()}
    with pytest.raises(UsageError, match="this model has"):
        ENGINE.run(plan, wrong)


@given(st.lists(st.integers(1, 500), max_size=30), st.integers(1, 2000), st.integers(0, 200))
def test_groups_hold_everything_once_within_bounds(sizes, budget, floor):
    groups = shards(sizes, budget)
    assert sorted(at for group in groups for at in group) == list(range(len(sizes)))
    assert all(len(group) == 1 or max(sizes[at] for at in group) * len(group) <= budget for group in groups)
    counts = sorted(sizes, reverse=True)
    ranges = slices(counts, budget, floor=floor)
    assert [at for start, end in ranges for at in range(start, end)] == list(range(len(counts)))
    for start, end in ranges:
        padded, real = counts[start] * (end - start), sum(counts[start:end])
        assert end - start == 1 or (padded <= budget and padded - real <= max(0.1 * real, floor))
