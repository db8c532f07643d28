"""Which cached tokens changed most: CacheBlend's choice by key-value deviation (arXiv 2405.16444), as released."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.prompt import Positions
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.layers import Layers, Tokens, layer_by_layer
from ragkit.cachecraft.hf.scores import Scores, exact_positions, reused_positions
from ragkit.errors import UsageError

On = Literal["value", "key"]
"""What is compared: values, as the paper's repository does, or keys, as LMCache does."""


def deviation_scores(
    backend: HfBackend, plan: Plan, blobs: Mapping[str, Any], *, on: On = "value", layer: int = 1
) -> Scores:
    """Return the squared distance between fresh and cached values (or keys) in `layer` of each reused chunk's token.

    `plan` has no repairs (policy "none"). The layers below `layer` are run for all tokens but those of a reused
    prefix, so that what is fresh in `layer` is exact; keys are compared at their new positions. Layer 0 would tell
    nothing: keys and values there depend on the token and its position alone. Raises UsageError for another layer.
    """
    check_compared(on)
    if not 1 <= layer < backend.shape.layers:
        raise UsageError(f"Layer {layer} was given; expected 1 to {backend.shape.layers - 1}.")
    with backend.lock, torch.inference_mode():
        layers = layer_by_layer(backend, backend.loaded([plan], blobs))
        tokens = start_all(layers, plan)
        for below in range(layer):
            tokens = layers.run(below, tokens)
        found = deviations(layers, layer, tokens, on)
    where = reused_positions(plan)
    values = np.zeros(len(plan.layout.ids))
    values[where] = found[np.searchsorted(tokens.positions, where)]
    count = len(tokens.positions)
    return Scores(values, count, count * (layer + layers.projections))


def start_all(layers: Layers, plan: Plan) -> Tokens:
    """Return all tokens of a prompt but those of a reused prefix, before the first layer."""
    positions = np.setdiff1d(np.arange(len(plan.layout.ids)), exact_positions(plan))
    return layers.embed(plan.layout.ids[positions], positions)


def deviations(layers: Layers, layer: int, tokens: Tokens, on: On) -> NDArray[np.float64]:
    """Return the squared distance (n,) of the tokens' fresh keys or values in `layer` to what the cache has there."""
    keys, values = layers.project(layer, tokens)
    fresh, kept = (values, layers.cache.values) if on == "value" else (keys, layers.cache.keys)
    return distances(fresh, kept[layer, 0], tokens.positions)


def distances(fresh: torch.Tensor, kept: torch.Tensor, positions: Positions) -> NDArray[np.float64]:
    """Return the squared distance (n,) of `fresh` (heads, n, d) to the slots `positions` of `kept`."""
    cached = kept[:, torch.from_numpy(positions).to(kept.device)]
    gaps: NDArray[np.float64] = (fresh.double() - cached.double()).square().sum((0, 2)).cpu().numpy()
    return gaps


def check_compared(on: str) -> None:
    """Raise UsageError for anything but keys and values."""
    if on not in get_args(On):
        raise UsageError(f"A comparison of {on!r} was given; expected one of {', '.join(get_args(On))}.")
