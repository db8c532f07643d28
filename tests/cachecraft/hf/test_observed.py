"""Attention statistics that come with a partial forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ragkit.cachecraft.core.prompt import Kind
from ragkit.errors import UsageError
from tests.cachecraft.hf import tiny

ENGINE = tiny.backend()
LAYOUT = tiny.prompt(14, 20, 9, seed=4)
VARIANTS = tiny.alone(ENGINE, LAYOUT)
CHUNKS = LAYOUT.chunks


def cold(piece):
    """Return the plan that reuses all but one chunk."""
    known = {at: found for at, found in VARIANTS.items() if at != piece}
    return tiny.repairing(LAYOUT, known, [])


def test_the_masses_are_those_of_the_whole_attention():
    with torch.inference_mode():
        ENGINE.model.set_attn_implementation("eager")
        out = ENGINE.model(input_ids=torch.tensor(LAYOUT.ids[None].astype(np.int64)), output_attentions=True)
        ENGINE.model.set_attn_implementation("sdpa")
    whole = torch.stack(out.attentions)[:, 0].mean(1).numpy()
    state = ENGINE.run(tiny.everything(LAYOUT), {}, observe=CHUNKS)
    for piece in CHUNKS:
        queries = whole[:, slice(*LAYOUT.spans[piece])]
        true = np.stack([queries[..., start:end].sum(-1) for start, end in LAYOUT.spans], -1)
        np.testing.assert_allclose(state.masses[piece], true, atol=1e-5)


@pytest.mark.parametrize("many", [False, True])
def test_a_cold_chunk_among_reused_ones(many):
    piece = CHUNKS[1]
    plan = cold(piece)
    blind = ENGINE.run(plan, tiny.blobs(VARIANTS))
    plans = [plan, tiny.everything(LAYOUT), plan] if many else [plan]
    states = ENGINE.run_many(plans, tiny.blobs(VARIANTS), observe=[piece])
    for state in states[::2]:
        torch.testing.assert_close(state.logits, blind.logits, rtol=0, atol=1e-12)
        masses = state.masses[piece]
        assert masses.shape == (3, len(LAYOUT.pieces[piece].ids), len(LAYOUT.pieces))
        np.testing.assert_allclose(masses.sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(masses, states[0].masses[piece], atol=1e-6)
    assert ENGINE.model.config._attn_implementation == "sdpa"


def test_layouts_of_several_lengths_and_prefill():
    other = tiny.prompt(8, 30, seed=6)
    states = ENGINE.run_many([tiny.everything(LAYOUT), tiny.everything(other)], {}, observe=[1])
    for state in states:
        single = ENGINE.run(state.plan, {}, observe=[1])
        np.testing.assert_allclose(state.masses[1], single.masses[1], atol=1e-6)
    assert LAYOUT.pieces[1].kind is Kind.CHUNK
    alone = ENGINE.prefill(LAYOUT.pieces[:2], observe=[1])
    np.testing.assert_allclose(alone.masses[1][..., :2], states[0].masses[1][..., :2], atol=1e-6)


def test_a_loaded_piece_cannot_be_observed():
    with pytest.raises(UsageError, match="observed"):
        ENGINE.run(cold(CHUNKS[1]), tiny.blobs(VARIANTS), observe=[CHUNKS[0]])
