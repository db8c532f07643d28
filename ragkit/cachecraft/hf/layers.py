"""A decoder run layer by layer by our own loop, so that the set of tokens may shrink on the way up. Reference only.

Served forwards have one set of tokens for all layers; what is measured here says what a shrinking set would save.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from transformers import Cache

from ragkit.cachecraft.core.prompt import Ids, Positions
from ragkit.cachecraft.hf.attention import attending
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.key_values import KeyValues
from ragkit.cachecraft.hf.visibility import Pass, make_pass
from ragkit.errors import UnsupportedError

_PARTS = ("embed_tokens", "layers", "norm", "rotary_emb")
_HINT = "Layer by layer modes are for models built as Llama is; the policies with one set for all layers work."
_PROBED = 6
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The tokens that go through a layer: `positions` (n,), their `hidden` states (1, n, d), and what they may see."""

    positions: Positions
    hidden: torch.Tensor
    visible: Pass
    angles: tuple[torch.Tensor, torch.Tensor]


class Layers:
    """The layers of a backend's model, one by one, over the one row of `cache`; `layer_by_layer` makes them.

    Raises UnsupportedError where the model is not made of embeddings, layers, a norm and a head.
    """

    def __init__(self, backend: HfBackend, cache: KeyValues) -> None:
        self.model = backend.model
        self.cache = cache
        self._groups = backend.forward.groups
        self._base = backend.model.base_model
        missing = [part for part in _PARTS if not hasattr(self._base, part)]
        if missing or backend.model.get_output_embeddings() is None:
            raise UnsupportedError(f"{type(self.model).__name__} has no {', '.join(missing) or 'head'}.", hint=_HINT)

    def __len__(self) -> int:
        return len(self._base.layers)

    @property
    def projections(self) -> float:
        """The share of a layer's weights that makes queries, keys and values."""
        layer = self._base.layers[0]
        attention = sum(p.numel() for p in layer.self_attn.parameters())
        out = getattr(layer.self_attn, "o_proj", None)
        kept = attention - (sum(p.numel() for p in out.parameters()) if out is not None else 0)
        return float(kept / sum(p.numel() for p in layer.parameters()))

    def embed(self, ids: Ids | Positions, positions: Positions) -> Tokens:
        """Return the tokens `ids` at ascending `positions` before the first layer."""
        with torch.inference_mode():
            hidden = self._base.embed_tokens(torch.as_tensor(np.asarray(ids, np.int64), device=self.model.device))
        return self._tokens(np.asarray(positions, np.int64), hidden[None])

    def keep(self, tokens: Tokens, positions: Positions) -> Tokens:
        """Return those of `tokens` that stand at `positions`, ascending and all among them."""
        if len(positions) == len(tokens.positions):
            return tokens
        rows = torch.from_numpy(np.searchsorted(tokens.positions, positions)).to(tokens.hidden.device)
        return self._tokens(positions, tokens.hidden[:, rows])

    def run(self, layer: int, tokens: Tokens, *, observed: bool = False) -> Tokens:
        """Return the tokens after `layer`; their keys and values replace those of the cache in this layer.

        With `observed` the call stands in a context of `ragkit.cachecraft.hf.masses.observing`.
        """
        mask = tokens.visible.dense(self.model.dtype) if observed and not tokens.visible.plain else None
        self.cache.current = tokens.visible
        try:
            with nullcontext() if observed else attending(self.model, tokens.visible):
                hidden = self._call(layer, tokens, self.cache, mask)
        finally:
            self.cache.current = None
        return Tokens(tokens.positions, hidden, tokens.visible, tokens.angles)

    def project(self, layer: int, tokens: Tokens) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens' keys, rotated, and values in `layer`, each (heads, n, head dim); nothing else is run."""
        catch = _Catch()
        try:
            self._call(layer, tokens, catch, None)
        except _Caught as caught:
            return caught.keys[0], caught.values[0]
        raise UnsupportedError(f"Layer {layer} of {type(self.model).__name__} never came to its cache.", hint=_HINT)

    def logits(self, tokens: Tokens) -> torch.Tensor:
        """Return the logits (vocabulary,) after the last of `tokens`."""
        with torch.inference_mode():
            logits = self.model.get_output_embeddings()(self._base.norm(tokens.hidden[0, -1:]))[0]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _call(self, layer: int, tokens: Tokens, cache: Cache, mask: torch.Tensor | None) -> torch.Tensor:
        with torch.inference_mode():
            out = self._base.layers[layer](
                tokens.hidden,
                attention_mask=mask,
                position_embeddings=tokens.angles,
                position_ids=tokens.visible.positions,
                past_key_values=cache,
                use_cache=True,
            )
        return out if isinstance(out, torch.Tensor) else out[0]

    def _tokens(self, positions: Positions, hidden: torch.Tensor) -> Tokens:
        on_gpu = self.model.device.type == "cuda"  # as in a backend's own pass
        visible = make_pass(
            positions[None],
            spare=self.cache.spare,
            dtype=self.model.dtype,
            device=self.model.device,
            block=512 if on_gpu else 64,
            groups=self._groups if on_gpu else 1,
        )
        with torch.inference_mode():
            angles = self._base.rotary_emb(hidden, position_ids=visible.positions)
        return Tokens(positions, hidden, visible, angles)


_proven: WeakSet[HfBackend] = WeakSet()


def layer_by_layer(backend: HfBackend, cache: KeyValues) -> Layers:
    """Return the layers of a backend's model over `cache`, proven: some tokens are run both ways, once a backend.

    Raises UnsupportedError for a model that does more than Llama does between its layers, such as scaling embeddings.
    """
    if backend not in _proven:
        _prove(backend)
        _proven.add(backend)
    return Layers(backend, cache)


def _prove(backend: HfBackend) -> None:
    positions = np.arange(_PROBED, dtype=np.int64)
    ids = positions + 5
    cache = KeyValues(backend.shape, 1, _PROBED, backend.device)
    whole, _ = backend.forward(cache, ids[None], positions[None])
    layers = Layers(backend, cache)
    tokens = layers.embed(ids, positions)
    for layer in range(len(layers)):
        tokens = layers.run(layer, tokens)
    gap = float((layers.logits(tokens) - whole[0, -1]).abs().max() / whole[0, -1].abs().max())
    if not gap <= _TOLERANCE.get(backend.dtype, 0.05):
        raise UnsupportedError(
            f"{type(backend.model).__name__} run layer by layer gives other logits (by {gap:.2g}).", hint=_HINT
        )


class _Caught(Exception):  # noqa: N818 - no error: it ends a layer early
    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.keys = keys
        self.values = values


class _Catch(Cache):  # type: ignore[misc]  # transformers is not typed
    """A cache that keeps nothing: the first update ends the layer."""

    def __init__(self) -> None:
        super().__init__(layers=[])

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        raise _Caught(key_states, value_states)
