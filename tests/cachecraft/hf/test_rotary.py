"""Keys moved to other positions: the worked example, every rotary type, and the gain of rounding in between."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.rotary import Pairing, Rotary, form_of, once, rotated, unrotated
from tests.cachecraft.hf import tiny
from tests.cachecraft.hf.rotary_types import TYPES, configs


def test_example_4():
    turn = [torch.tensor([f(0.5 * p) for f in (math.cos, math.sin)], dtype=torch.float64) for p in (0, 3, 7)]
    key = torch.tensor(1.0, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    stored = rotated(*key, *turn[1])
    assert [float(part) for part in stored] == pytest.approx([-1.924253, 1.138969], abs=1e-6)
    assert [float(part) for part in unrotated(*stored, *turn[1])] == pytest.approx([1, 2])
    moved = rotated(*unrotated(*stored, *turn[1]), *turn[2])
    assert [float(part) for part in moved] == pytest.approx([-0.234890, -2.223697], abs=1e-6)


def rotary(kind: str = "default", dtype: torch.dtype = torch.float32, arithmetic: torch.dtype | None = None) -> Rotary:
    config = LlamaConfig(
        hidden_size=128, num_attention_heads=1, max_position_embeddings=32768, rope_parameters=dict(TYPES[kind])
    )
    module = LlamaRotaryEmbedding(config)
    return Rotary(module, Pairing.HALVES, "halves", dtype, torch.device("cpu"), 128, arithmetic or dtype)


def computed(one: Rotary, keys: torch.Tensor, start: int) -> torch.Tensor:
    """Return the keys as transformers' own functions rotate them."""
    cos, sin = one.module(keys, torch.arange(start, start + keys.shape[-2])[None])
    found: torch.Tensor = apply_rotary_pos_emb(keys[None], keys[None], cos, sin)[1][0]
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_against_the_library(kind, dtype):
    one = rotary(kind, dtype)
    keys = torch.randn(2, 400, 128, generator=torch.Generator().manual_seed(0)).to(dtype)
    for old, new in ((0, 31_000), (31_000, 5), (700, 701)):
        moved = one.moved(computed(one, keys, old), old, new).double()
        true = computed(one, keys, new).double()
        assert float((moved - true).norm() / true.norm()) < (1e-6 if dtype == torch.float32 else 4.5e-3)
        assert moved.shape == true.shape


def test_the_same_position_copies_the_bits():
    one = rotary("yarn", torch.bfloat16)
    keys = torch.randn(1, 9, 128).bfloat16()
    assert torch.equal(one.moved(keys, 12, 12), keys)


@pytest.mark.parametrize("arithmetic", [torch.bfloat16, torch.float32])
def test_rounding_in_between_and_the_models_arithmetic_are_closer(arithmetic):
    keys = torch.randn(1, 2000, 128, generator=torch.Generator().manual_seed(0)).bfloat16()
    one = rotary("default", torch.bfloat16, arithmetic)
    stored, true = (as_the_model(one, keys, start) for start in (17, 9000))

    def error(found: torch.Tensor) -> float:
        return float((found.double() - true.double()).norm() / true.double().norm())

    rows = [[row.float() for row in one.rows(start, 2000)] for start in (17, 9000)]
    halves = stored[..., :64].float(), stored[..., 64:].float()
    plain = torch.cat(rotated(*unrotated(*halves, *rows[0]), *rows[1]), -1).bfloat16()
    moved = one.moved(stored, 17, 9000)
    assert error(moved) < 0.9 * error(plain)
    assert (moved == true).double().mean() > (plain == true).double().mean() + 0.1


def as_the_model(one: Rotary, keys: torch.Tensor, start: int) -> torch.Tensor:
    """Return the keys as a model of that arithmetic rotates them, rounded to its format."""
    cos, sin = one.module(keys, torch.arange(start, start + keys.shape[-2])[None])
    wide = [part.to(one.arithmetic) for part in (keys[None], cos, sin)]
    found: torch.Tensor = apply_rotary_pos_emb(wide[0], wide[0], *wide[1:])[1][0]
    return found.to(keys.dtype)


def test_rows_are_the_models_own_with_their_rounding_and_scale():
    one = rotary("yarn", torch.bfloat16)
    cos, sin = one.rows(100, 3)
    assert cos.dtype == torch.bfloat16
    size = (cos.double() ** 2 + sin.double() ** 2).mean()
    assert float(size) == pytest.approx((0.1 * math.log(4) + 1) ** 2, rel=1e-2)


def test_forms():
    row = torch.tensor([[1.0, 2.0, 3.0]])
    for form, wide in {"half": row, "halves": row.repeat(1, 2), "neighbours": row.repeat_interleave(2, 1)}.items():
        assert form_of(wide) == form
        assert torch.equal(once(wide, form), row)


CONFIGS = configs()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_moved_chunk_behind_nothing_equals_a_computed_one(name):
    """Keys and values of the first chunk depend on its place only, so moved they must be those of a shifted prompt."""
    model = tiny.model(torch.float32, CONFIGS[name])
    engine = HfBackend(model, name)
    assert (engine.rotary.pairing is Pairing.NEIGHBOURS) == ("neighbours" in name)
    assert (engine.rotary.width < engine.shape.width) == ("a part" in name)
    layout = tiny.prompt(12, 9, seed=3)
    variants = tiny.alone(engine, layout)
    shifted = torch.arange(500, 512)[None]
    with torch.inference_mode():
        mask = torch.full((12, 12), torch.finfo(torch.float32).min).triu(1)[None, None]
        out = model(
            input_ids=torch.tensor(layout.pieces[1].ids[None].astype("int64")),
            position_ids=shifted,
            attention_mask=mask,
            use_cache=True,
        )
    alone = engine.capture(engine.prefill([layout.pieces[1]]), 0)
    moved = engine.rotary.moved(alone[:, 0], 0, 500)
    for layer, own in enumerate(out.past_key_values.layers):
        torch.testing.assert_close(moved[layer], own.keys[0], rtol=1e-3, atol=1e-4)
    plan = tiny.repairing(layout, variants, range(len(layout.ids)))
    assert torch.equal(engine.run(plan, tiny.blobs(variants)).logits, tiny.stock(engine, layout)[0])
