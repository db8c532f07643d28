"""Masses against the matrix that eager attention returns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from ragkit.cachecraft.core.prompt import Span
from ragkit.cachecraft.hf import masses as module
from ragkit.cachecraft.hf.masses import FUNCTION, observing
from ragkit.errors import UnsupportedError, UsageError

SPANS = [Span(0, 5), Span(5, 17), Span(17, 18), Span(18, 33), Span(33, 40)]
IDS = torch.randint(0, 101, (1, 40), generator=torch.Generator().manual_seed(3))


def eager(model, ids=IDS, **options):
    """Return the mean attention of every layer, (layers, batch, P, P), and the logits."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        out = model(ids, output_attentions=True, **options)
    model.set_attn_implementation(before)
    return torch.stack([layer.mean(1) for layer in out.attentions]).numpy(), out.logits


def pieces(matrix, tokens):
    return np.stack([matrix[:, tokens, span.start : span.end].sum(-1) for span in SPANS], -1)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_masses_equal_the_eager_matrix_and_sum_to_one(tiny, block):
    model, tokens = tiny(), np.arange(5, 40)
    matrix, _ = eager(model)
    with torch.no_grad(), observing(model, SPANS, tokens, block=block) as seen:
        model(IDS)
    assert seen.masses.shape == (3, 35, 5)
    assert seen.masses.dtype == np.float32
    np.testing.assert_allclose(seen.masses, pieces(matrix[:, 0], tokens), atol=1e-5)
    np.testing.assert_allclose(seen.masses.sum(-1), 1, atol=1e-5)
    assert seen.masses.std() > 0.01  # a flat matrix would prove nothing


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_are_those_of_sdpa_and_the_implementation_is_restored(tiny, dtype):
    model = tiny(dtype=dtype)
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        plain = model(IDS).logits
        with observing(model, SPANS, np.arange(40)):
            assert model.config._attn_implementation == FUNCTION
            observed = model(IDS).logits
    assert torch.equal(plain, observed)
    assert model.config._attn_implementation == "sdpa"
    with pytest.raises(ZeroDivisionError), observing(model, SPANS, np.arange(40)):
        raise ZeroDivisionError
    assert model.config._attn_implementation == "sdpa"
    with torch.no_grad():  # without an observer the function is sdpa
        model.set_attn_implementation(FUNCTION)
        assert torch.equal(model(IDS).logits, plain)


@pytest.mark.parametrize("boolean", [True, False])
def test_a_partial_forward_with_a_mask_by_positions_and_poisoned_slots(tiny, boolean):
    """Fresh tokens with gaps over a cache longer than the prompt: rows equal those of the full matrix."""
    model = tiny()
    matrix, _ = eager(model)
    with torch.no_grad():
        whole = model(IDS, use_cache=True).past_key_values
    fresh = np.array([3, 4, 9, 10, 20, 33, 34, 39])
    cache = _Slots(whole, room=6)
    visible = torch.arange(46)[None, :] <= torch.as_tensor(fresh)[:, None]
    mask = visible[None, None]
    if not boolean:
        mask = torch.where(mask, 0.0, torch.finfo(torch.float32).min)
    tokens = np.array([34, 9, 20])
    cache.at = torch.as_tensor(fresh)
    with torch.no_grad(), observing(model, SPANS, tokens, block=2) as seen:
        model(IDS[:, fresh], attention_mask=mask, position_ids=cache.at[None], past_key_values=cache)
    np.testing.assert_allclose(seen.masses, pieces(matrix[:, 0], tokens), atol=1e-5)


class _Slots(DynamicCache):
    """Keys and values of a whole prompt; updates go to the positions `at`, free slots hold what must not be seen."""

    def __init__(self, whole, room):
        super().__init__()
        self.kept = [
            [torch.nn.functional.pad(t, (0, 0, 0, room), value=99.0) for t in (layer.keys, layer.values)]
            for layer in whole.layers
        ]
        self.at = None

    def update(self, keys, values, layer, *args, **kwargs):
        for kept, new in zip(self.kept[layer], (keys, values), strict=True):
            kept[:, :, self.at] = new
        return tuple(self.kept[layer])


def test_a_mask_that_adds_to_scores(tiny):
    model = tiny()
    hidden = torch.ones(40, 40, dtype=torch.bool).triu(1)
    slope = (torch.arange(40)[None] - torch.arange(40)[:, None]) * 0.1
    mask = slope.masked_fill(hidden, torch.finfo(torch.float32).min)[None, None]
    matrix, _ = eager(model, attention_mask=mask)
    with torch.no_grad(), observing(model, SPANS, np.arange(40), block=9) as seen:
        model(IDS, attention_mask=mask)
    np.testing.assert_allclose(seen.masses, pieces(matrix[:, 0], np.arange(40)), atol=1e-5)
    assert abs(eager(model)[0] - matrix).max() > 0.05


def test_a_batch_with_other_tokens_in_each_row(tiny):
    model = tiny()
    ids = torch.cat([IDS, IDS.flip(1)])
    matrix, _ = eager(model, ids)
    tokens = [np.arange(6, 20), np.array([39, 2])]
    with torch.no_grad(), observing(model, SPANS, tokens) as seen:
        model(ids)
    for row in range(2):
        np.testing.assert_allclose(seen.of(row), pieces(matrix[:, row], tokens[row]), atol=1e-5)


def test_a_forward_in_several_passes(tiny):
    model, tokens = tiny(), np.arange(40)
    matrix, _ = eager(model)
    cache = DynamicCache()
    with torch.no_grad(), observing(model, SPANS, tokens) as seen:
        for part in IDS.split([13, 1, 26], 1):
            model(part, past_key_values=cache, use_cache=True)
    np.testing.assert_allclose(seen.masses, pieces(matrix[:, 0], tokens), atol=1e-5)


def test_single_keys_and_a_subset_of_layers(tiny):
    model, tokens = tiny(), np.arange(33, 40)
    matrix, _ = eager(model)
    with torch.no_grad(), observing(model, None, tokens, keys=40, layers=[2, 0]) as seen:
        model(IDS)
    assert seen.layers == (0, 2)
    np.testing.assert_allclose(seen.masses, matrix[[0, 2], 0][:, tokens], atol=1e-5)


def test_unobserved_rows_cost_nothing(tiny, monkeypatch):
    computed = []
    whole = module._scores

    def counting(query, key, *rest, **options):
        computed.append((query.shape[1], key.shape[1]))
        return whole(query, key, *rest, **options)

    monkeypatch.setattr(module, "_scores", counting)
    model = tiny()
    with torch.no_grad(), observing(model, SPANS, np.array([8, 9, 12])) as seen:
        model(IDS)
    assert computed == [(3, 13)] * 3  # three rows in each layer, and no key that none of them sees
    assert np.isfinite(seen.masses).all()
    computed.clear()
    with torch.no_grad(), observing(model, SPANS, np.array([], np.int64)):
        model(IDS)
    assert not computed


def test_what_was_not_computed_is_refused(tiny):
    model = tiny()
    with torch.no_grad(), observing(model, SPANS, np.array([4, 39])) as seen:
        model(IDS[:, :20])
    with pytest.raises(UsageError, match=r"\[39\].*did not compute"):
        _ = seen.masses
    with observing(model, SPANS, np.array([4])) as seen:
        pass
    with pytest.raises(UnsupportedError):
        _ = seen.masses
    with pytest.raises(UsageError), observing(model, None, np.array([4])):
        pass
    with torch.no_grad(), observing(model, SPANS, [np.array([4])] * 2), pytest.raises(UsageError, match="2 rows"):
        model(IDS)


@pytest.mark.parametrize("family", ["Qwen2", "Qwen3", "Mistral", "Gemma", "Phi3"])
def test_other_families(family):
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=128, pad_token_id=0,
    )  # fmt: skip
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    tokens = np.arange(5, 40)
    matrix, _ = eager(model)
    with torch.no_grad(), observing(model, SPANS, tokens) as seen:
        model(IDS)
    np.testing.assert_allclose(seen.masses, pieces(matrix[:, 0], tokens), atol=1e-5)
