"""Which models can reuse chunks: read off the configuration first, then proven on the model itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from ragkit.cachecraft.hf.key_values import Shape
from ragkit.cachecraft.hf.rotary import Pairing, Rotary, form_of
from ragkit.errors import UnsupportedError

ROTARY_TYPES = frozenset({"default", "llama3", "linear", "yarn"})
"""Rotary types whose angle depends on the position alone."""

_TOKENS = 8
_FAR = 997
_TOLERANCE = {torch.float64: 1e-3, torch.float32: 5e-3}
_HALF_TOLERANCE = 0.15
"""Relative error allowed between a moved key and a computed one; the wrong rotation has an error of about 1."""

_HINT = "Use a decoder-only text model with rotary positions and full attention, such as Llama, Qwen2.5 or Qwen3."


@dataclass(frozen=True, slots=True, eq=False)
class Supported:
    """What is known of a model that passed: how its keys move, and the shape of its keys and values."""

    rotary: Rotary
    shape: Shape
    description: str
    """The rotary configuration in words that tell two of them apart, for the key of the store."""


def supported(model: Any) -> Supported:
    """Return what chunk reuse needs to know of `model`, a transformers causal model.

    Raises UnsupportedError, which names the reason, where the configuration rules it out or the model does not behave
    as its configuration says: 8 tokens are run at two places, and all layers' keys of the one, moved, must be those of
    the other; values and logits must not change.
    """
    check_configuration(model.config)
    module = getattr(model.base_model, "rotary_emb", None)
    if module is None:
        raise _refused(model.config, "it has no rotary positions")
    near, near_logits = _run(model, 0)
    away = int(min(_FAR, max(_TOKENS, getattr(model.config, "max_position_embeddings", _FAR) - _TOKENS)))
    far, far_logits = _run(model, away)
    keys, values = near
    shape = Shape(keys.shape[0], keys.shape[1], keys.shape[3], model.dtype)
    if not (_close(values, far[1], model.dtype) and _close(near_logits, far_logits, model.dtype)):
        raise _refused(model.config, "its values or logits depend on the absolute position")
    rotary = _proven(model, module, keys, far[0], away)
    return Supported(rotary, shape, _description(model.config, rotary))


def check_configuration(config: Any) -> None:
    """Raise UnsupportedError with the reason where a model of this configuration cannot reuse chunks."""
    for reason, found in _reasons(config).items():
        if found:
            raise _refused(config, reason)


def _reasons(config: Any) -> dict[str, bool]:
    def has(*names: str) -> bool:
        return any(bool(getattr(config, name, None)) for name in names)

    types = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None) is not None and not types
    rope = _rope(config)
    no_rope = getattr(config, "no_rope_layers", None) or ()
    return {
        "it is an encoder-decoder": has("is_encoder_decoder"),
        "it is multimodal": config.get_text_config() is not config or has("vision_config", "audio_config"),
        "it has ALiBi position biases": has("alibi") or config.model_type in {"bloom", "mpt"},
        "it has no rotary positions": config.model_type in {"gpt2", "opt", "gpt_neo", "gpt_bigcode", "xglm", "biogpt"},
        "it has latent attention (MLA)": has("kv_lora_rank"),
        "it has linear, recurrent or hybrid attention layers": has(
            "layers_block_type", "mamba_d_state", "ssm_state_size", "state_size", "linear_num_key_heads", "mamba_expand"
        )
        or bool(types & {"linear_attention", "mamba", "mamba2", "recurrent", "conv", "hybrid"}),
        "it has sliding-window or chunked attention layers": window
        or bool(types - {"full_attention", "attention"})
        or has("attention_chunk_size"),
        "its layers share keys and values": has("num_kv_shared_layers", "cross_layer_kv_sharing"),
        "some of its layers have no positions": has("no_rope_layer_interval") or 0 in no_rope,
        "its attention scores are soft-capped": has("attn_logit_softcapping"),
        "it has multimodal rotary positions (M-RoPE)": "mrope_section" in rope,
        f"its rotary positions are of the type {rope.get('rope_type', 'default')!r}": (
            rope.get("rope_type", "default") not in ROTARY_TYPES
        ),
        "its layers have different rotary positions": any(isinstance(value, dict) for value in rope.values()),
    }


def _rope(config: Any) -> dict[str, Any]:
    found = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return dict(found)


def _run(model: Any, start: int) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return keys and values (layers, heads, tokens, head dim) and logits of some tokens at positions from `start`."""
    from transformers import DynamicCache

    drawn = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (1, _TOKENS), generator=drawn).to(model.device)
    cache = DynamicCache()
    mask = _causal(model)
    with torch.inference_mode():
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=torch.arange(start, start + _TOKENS, device=model.device)[None],
            past_key_values=cache,
            use_cache=True,
        )
    keys = [getattr(layer, "keys", None) for layer in cache.layers]
    values = [getattr(layer, "values", None) for layer in cache.layers]
    if len(keys) != model.config.num_hidden_layers or not _uniform([*keys, *values]):
        raise _refused(model.config, "its layers do not all keep keys and values of one shape for every token")
    return (torch.cat(keys), torch.cat(values)), out.logits


def _causal(model: Any) -> torch.Tensor:
    """Return the mask written out: some models derive the plain one from positions and would see borders in them."""
    hidden = torch.finfo(model.dtype).min
    mask = torch.full((_TOKENS, _TOKENS), hidden, dtype=model.dtype, device=model.device)
    return mask.triu(1)[None, None]


def _uniform(tensors: list[Any]) -> bool:
    shapes = {None if tensor is None else tuple(tensor.shape) for tensor in tensors}
    return len(shapes) == 1 and None not in shapes and next(iter(shapes))[:1] == (1,) and tensors[0].shape[2] == _TOKENS


def _proven(model: Any, module: Any, near: torch.Tensor, far: torch.Tensor, away: int) -> Rotary:
    probe = torch.zeros(1, 1, 1, dtype=model.dtype, device=model.device)
    try:
        cos, sin = module(probe, torch.tensor([[3]], device=model.device))
    except (TypeError, ValueError) as error:
        raise _refused(model.config, "its rotary module gives no cosines and sines") from error
    form = form_of(torch.cat([cos, sin]))
    width = cos.shape[-1] * (2 if form == "half" else 1)
    if width > near.shape[-1]:
        raise _refused(model.config, "its rotary module is wider than its heads")
    for pairing, one in product(Pairing, dict.fromkeys([form, "halves"])):
        rotary = Rotary(module, pairing, one, model.dtype, model.device, width)
        if _close(rotary.moved(near, 0, away), far, model.dtype):
            return rotary
    raise _refused(model.config, "its keys do not turn with the position as its rotary table says")


def _close(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether each layer's (or the logits') relative error is small."""
    pairs = zip(found.double(), expected.double(), strict=True)
    tolerance = _TOLERANCE.get(dtype, _HALF_TOLERANCE)
    return all(bool((a - b).norm() <= tolerance * b.norm()) for a, b in pairs)


def _description(config: Any, rotary: Rotary) -> str:
    known = {"rope_theta": getattr(config, "rope_theta", None), **_rope(config)}
    return json.dumps({**known, "pairing": str(rotary.pairing), "width": rotary.width}, sort_keys=True, default=str)


def _refused(config: Any, reason: str) -> UnsupportedError:
    return UnsupportedError(f"Chunk reuse does not work with this {config.model_type} model: {reason}.", hint=_HINT)
