"""What a model's configuration says of its positions, tried on the model itself with eight tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from ragkit.cachecraft.hf.forward import Forward
from ragkit.cachecraft.hf.key_values import KeyValues, Shape
from ragkit.cachecraft.hf.rotary import Pairing, Rotary, form_of
from ragkit.cachecraft.hf.support import check_configuration, refused, rope_settings

_TOKENS = 8
_FAR = 997
_FRESH = np.array([[1, 3, 4, 7]])
"""Which of the eight tokens a partial forward computes: runs and gaps, the last one included."""

_TOLERANCE = {torch.float64: 1e-3, torch.float32: 5e-3}
_HALF_TOLERANCE = 0.15
"""Relative error allowed between a moved key and a computed one; the wrong rotation has an error of about 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """Keys and values (layers, heads, tokens, head dim) and logits (tokens, vocabulary) of eight tokens."""

    ids: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    logits: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Supported:
    """What is known of a model that passed: how its keys move, and the shape of its keys and values."""

    rotary: Rotary
    shape: Shape
    description: str
    """The rotary configuration, so that two of them can be told apart in the key of a store."""
    ran: Ran


def supported(model: Any) -> Supported:
    """Return what chunk reuse needs to know of `model`, a transformers causal model.

    Raises UnsupportedError, which names the reason, where the configuration rules it out or the model does not behave
    as its configuration says: some tokens are run at two places, and all layers' keys of the one, moved, must be those
    of the other; values and logits must not change.
    """
    check_configuration(model.config)
    module = getattr(model.base_model, "rotary_emb", None)
    if module is None:
        raise refused(model.config, "it has no rotary positions")
    near = _run(model, 0)
    away = int(min(_FAR, max(_TOKENS, getattr(model.config, "max_position_embeddings", _FAR) - _TOKENS)))
    far = _run(model, away)
    if not (_close(near.values, far.values, model.dtype) and _close(near.logits, far.logits, model.dtype)):
        raise refused(model.config, "its values or logits depend on the absolute position")
    rotary = _rotary(model, module, near.keys, far.keys, away)
    shape = Shape(near.keys.shape[0], near.keys.shape[1], near.keys.shape[3], model.dtype)
    known = {"rope_theta": getattr(model.config, "rope_theta", None), **rope_settings(model.config)}
    turned = {"pairing": str(rotary.pairing), "width": rotary.width}
    return Supported(rotary, shape, json.dumps({**known, **turned}, sort_keys=True, default=str), near)


def prove_forward(forward: Forward, known: Supported) -> None:
    """Run some of the eight tokens over the keys and values of the others; raise UnsupportedError if it matters.

    This is where a model is found out that has attention of its own and sees neither our cache nor our mask.
    """
    ran, fresh = known.ran, _FRESH[0]
    cache = KeyValues(known.shape, 1, _TOKENS, ran.keys.device)
    cache.keys[:, 0, :, :_TOKENS], cache.values[:, 0, :, :_TOKENS] = ran.keys, ran.values
    cache.keys[:, :, :, fresh], cache.values[:, :, :, fresh] = 0.0, 0.0
    try:
        logits, _ = forward(cache, ran.ids.cpu().numpy()[:, fresh], _FRESH, keep=len(fresh))
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise refused(forward.model.config, f"a partial forward fails ({error})") from error
    computed = cache.keys[:, 0, :, fresh]
    dtype = known.shape.dtype
    if not (_close(computed, ran.keys[:, :, fresh], dtype) and _close(logits[0], ran.logits[fresh], dtype)):
        raise refused(forward.model.config, "a partial forward does not give what a whole one gives")


def _run(model: Any, start: int) -> Ran:
    """Run eight drawn tokens at the positions from `start` on."""
    from transformers import DynamicCache

    drawn = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (1, _TOKENS), generator=drawn).to(model.device)
    cache = DynamicCache()
    # The mask is written out: some models derive theirs from positions and see borders of texts in them.
    hidden = torch.full((_TOKENS, _TOKENS), torch.finfo(model.dtype).min, dtype=model.dtype, device=model.device)
    with torch.inference_mode():
        out = model(
            input_ids=ids,
            attention_mask=hidden.triu(1)[None, None],
            position_ids=torch.arange(start, start + _TOKENS, device=model.device)[None],
            past_key_values=cache,
            use_cache=True,
        )
    tensors = [getattr(layer, name, None) for name in ("keys", "values") for layer in cache.layers]
    shapes = [(0,) if tensor is None else tuple(tensor.shape) for tensor in tensors]
    layers = int(model.config.num_hidden_layers)
    if len(shapes) != 2 * layers or len(set(shapes)) != 1 or shapes[0][::2] != (1, _TOKENS):
        raise refused(model.config, "its layers do not all keep keys and values of one shape for every token")
    return Ran(ids, torch.cat(tensors[:layers]), torch.cat(tensors[layers:]), out.logits[0])


def _rotary(model: Any, module: Any, near: torch.Tensor, far: torch.Tensor, away: int) -> Rotary:
    """Return the rotation that brings the keys `near` to `far`; raise UnsupportedError where none does."""
    probe = torch.zeros(1, 1, 1, dtype=model.dtype, device=model.device)
    try:
        cos, sin = module(probe, torch.tensor([[3]], device=model.device))
    except (TypeError, ValueError) as error:
        raise refused(model.config, "its rotary module gives no cosines and sines") from error
    form = form_of(torch.cat([cos, sin]))
    width = cos.shape[-1] * (2 if form == "half" else 1)
    if width > near.shape[-1]:
        raise refused(model.config, "its rotary module is wider than its heads")
    formats = dict.fromkeys([model.dtype, torch.promote_types(model.dtype, torch.float32)])
    ways = [
        Rotary(module, pairing, form, model.dtype, model.device, width, arithmetic)
        for pairing, arithmetic in product(Pairing, formats)
    ]
    best = min(ways, key=lambda way: float((way.moved(near[:1], 0, away).double() - far[:1].double()).norm()))
    if not _close(best.moved(near, 0, away), far, model.dtype):
        raise refused(model.config, "its keys do not turn with the position as its rotary table says")
    return best


def _close(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether the relative error of each layer (or token, for logits) is small for a number format."""
    tolerance = _TOLERANCE.get(dtype, _HALF_TOLERANCE)
    pairs = zip(found.double(), expected.double(), strict=True)
    return all(bool((a - b).norm() <= tolerance * b.norm()) for a, b in pairs)
