"""A causal model as two steps, hidden states and losses, so that losses are computed only where they are wanted."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ragkit.errors import ModelError
from ragkit.models.causal.head import Head, head_of

_PROBE = 8
"""Tokens on which the two steps are compared with the whole model."""


class Forward:
    """Runs rows of token ids of unequal length, right-padded and without a mask.

    A causal model never looks at what comes later, so padding on the right needs no mask, and attention without a mask
    takes its fastest kernel. Where body and head are not the whole model (checked once), the whole model runs and its
    logits exist for a batch.
    """

    def __init__(self, model: Any, *, compiled: bool = False) -> None:
        """Take a loaded transformers model; `compiled` compiles each layer at first use (tens of seconds)."""
        self.device = model.device
        self._body, self.head = model.base_model, _head(model)
        self.whole = self.head.weight is None
        if self.whole:
            self._body = model
        elif compiled:
            self._body = compiled_layers(self._body)

    def hidden(self, rows: Sequence[NDArray[np.int32]], wanted: NDArray[np.int64], width: int) -> torch.Tensor:
        """Return the hidden states at the flat positions `wanted` of `rows` padded to `width`, shape (n, hidden)."""
        padded = np.zeros((len(rows), width), dtype=np.int64)
        for row, ids in enumerate(rows):
            padded[row, : len(ids)] = ids
        out = self._body(input_ids=self.sent(padded), use_cache=False)
        states = out.logits if self.whole else out.last_hidden_state
        return states.flatten(0, 1).index_select(0, self.sent(wanted))

    def sent(self, values: NDArray[np.int64]) -> torch.Tensor:
        """Return `values` on the model's device; the copy to a GPU does not wait for it."""
        tensor = torch.from_numpy(values)
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)


def compiled_layers(body: Any) -> Any:
    """Return a copy of `body` that shares its weights and runs compiled layers; the given one stays as it was.

    Layer by layer: one compilation serves all of them, and the causal mask stays implicit (a compiled whole body would
    write it out, and attention would lose its fastest kernel).
    """
    name = next((name for name in ("layers", "h", "blocks") if hasattr(body, name)), None)
    if name is None:
        return body
    twin = copy.copy(body)
    twin._modules = dict(body._modules)
    layers = [copy.copy(layer) for layer in getattr(body, name)]
    for layer in layers:
        layer.compile()
    setattr(twin, name, torch.nn.ModuleList(layers))
    return twin


def memory_error(name: str, tokens: int, error: Exception) -> ModelError:
    """Return the error for a device whose memory does not hold `tokens` tokens of work."""
    return ModelError(
        f"The device of {name} has too little memory for {tokens} tokens at once: {str(error).splitlines()[0]}",
        hint="Name a smaller model, smaller windows or another device.",
    )


def _head(model: Any) -> Head:
    """Return the model's head, or one without weights where body and head do not make the whole model."""
    ids = torch.arange(_PROBE, device=model.device)[None]
    with torch.inference_mode():
        whole = model(input_ids=ids, use_cache=False).logits[0].float()
        try:
            found = head_of(model)
            states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
            split = found.logits(states).float()
        except (AttributeError, TypeError, RuntimeError, IndexError):  # an architecture of another build
            return Head(None, None)
    tolerance = 1e-3 if model.dtype == torch.float32 else 3e-2
    same = split.shape == whole.shape and torch.allclose(split, whole, rtol=tolerance, atol=tolerance * 10)
    return found if same else Head(None, None)
