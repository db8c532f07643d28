"""Models that cannot reuse chunks are refused by name, also those whose configuration says that they could."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    DeepseekV2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    SmolLM3Config,
    T5Config,
)

from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.proof import supported
from ragkit.cachecraft.hf.support import check_configuration
from ragkit.errors import UnsupportedError
from tests.cachecraft.hf import tiny

ROPE = {"rope_theta": 10000.0}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, **ROPE}
LONG = {"rope_type": "longrope", "long_factor": [1.0] * 4, "short_factor": [1.0] * 4, "factor": 2.0, **ROPE}
SECTIONS = {"rope_type": "default", "mrope_section": [2, 1, 1], **ROPE}
REFUSED = {
    "no rotary positions": GPT2Config(n_embd=48, n_layer=2, n_head=6, vocab_size=97),
    "ALiBi": BloomConfig(hidden_size=48, n_layer=2, n_head=6, vocab_size=97),
    "sliding-window": MistralConfig(**tiny.SIZES, sliding_window=64),
    "sliding-window ": Gemma3TextConfig(**tiny.SIZES, sliding_window=64),
    "sliding-window  ": Qwen2Config(**tiny.SIZES, use_sliding_window=True, sliding_window=64, max_window_layers=1),
    "'dynamic'": LlamaConfig(**tiny.SIZES, rope_parameters=DYNAMIC),
    "'longrope'": Phi3Config(**tiny.SIZES, rope_parameters={**LONG, "original_max_position_embeddings": 1024}),
    "M-RoPE": LlamaConfig(**tiny.SIZES, rope_parameters=SECTIONS),
    "MLA": DeepseekV2Config(**tiny.SIZES),
    "no positions": SmolLM3Config(**{**tiny.SIZES, "num_hidden_layers": 4}, no_rope_layer_interval=4),
    "encoder-decoder": T5Config(d_model=48, num_layers=2, num_heads=6),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused_by_name(reason):
    with pytest.raises(UnsupportedError, match=reason.strip()) as caught:
        check_configuration(REFUSED[reason])
    assert REFUSED[reason].model_type in caught.value.message
    assert caught.value.hint


def test_the_models_own_constructor_refuses():
    with pytest.raises(UnsupportedError, match="no rotary"):
        HfBackend(AutoModelForCausalLM.from_config(REFUSED["no rotary positions"]), "x")


@pytest.mark.parametrize(("named", "value"), [("layer_types", ["full_attention", "linear_attention"] * 2)])
def test_hybrid_layers(named, value):
    config = LlamaConfig(**tiny.SIZES)
    setattr(config, named, value)
    with pytest.raises(UnsupportedError, match="linear, recurrent or hybrid"):
        check_configuration(config)


def test_a_model_whose_keys_turn_another_way_is_refused():
    model = tiny.model(torch.float32)
    true = model.model.rotary_emb.forward

    class Liar(torch.nn.Module):
        """Shows whoever asks from outside another table than the model's layers get."""

        def forward(self, x, position_ids):
            return true(x, position_ids * (3 if x.shape[-1] == 1 else 1))

    model.model.rotary_emb = Liar()
    with pytest.raises(UnsupportedError, match="keys do not turn"):
        supported(model)


def test_learned_positions_beside_rotary_ones_are_refused():
    model = tiny.model(torch.float32)
    learned = torch.nn.Embedding(2048, 48)

    def positions(module, args, kwargs, out):
        return out + learned(kwargs["position_ids"])

    model.model.layers[0].register_forward_hook(positions, with_kwargs=True)
    with pytest.raises(UnsupportedError, match="absolute position"):
        supported(model)


def test_temperature_by_position_is_refused():
    model = tiny.model(torch.float32)

    def hotter(module, args, kwargs, out):
        return out * (1 + kwargs["position_ids"][..., None] / 100)

    model.model.layers[1].register_forward_hook(hotter, with_kwargs=True)
    with pytest.raises(UnsupportedError, match="absolute position"):
        supported(model)


def test_attention_that_goes_by_the_order_of_rows_is_refused(monkeypatch):
    model = tiny.model(torch.float32)
    attention = type(model.model.layers[0].self_attn)
    true = attention.forward

    def own(self, hidden_states, **kwargs):
        queries, keys = hidden_states.shape[1], 8
        mask = torch.full((1, 1, queries, keys), -torch.inf).triu(keys - queries + 1)
        return true(self, hidden_states=hidden_states, **{**kwargs, "attention_mask": mask})

    monkeypatch.setattr(attention, "forward", own)
    model.set_attn_implementation("eager")
    with pytest.raises(UnsupportedError, match="partial forward"):
        HfBackend(model, "x", attention="eager")


def test_attention_that_is_not_the_librarys_is_refused(monkeypatch):
    model = tiny.model(torch.float32)
    module = inspect.getmodule(type(model))
    monkeypatch.setattr(
        module, "ALL_ATTENTION_FUNCTIONS", SimpleNamespace(get_interface=lambda _, __: module.eager_attention_forward)
    )
    with pytest.raises(UnsupportedError, match="partial forward"):
        HfBackend(model, "x")
    assert HfBackend(model, "x", attention="eager").shape.layers == 3


def test_half_precision_passes():
    for dtype in (torch.bfloat16, torch.float16):
        found = supported(tiny.model(dtype))
        assert found.rotary.dtype == dtype
        assert found.shape.token_bytes == 2 * 3 * 2 * 8 * 2


def test_the_store_key_tells_rotary_configurations_apart():
    described = {
        supported(tiny.model(torch.float32, rope_parameters={"rope_type": "default", "rope_theta": theta})).description
        for theta in (1e4, 1e5)
    }
    assert len(described) == 2
