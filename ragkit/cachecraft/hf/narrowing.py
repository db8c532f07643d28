"""CacheBlend's gradual filtering (arXiv 2405.16444): fewer tokens are recomputed in each layer. Reference only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.prompt import Positions
from ragkit.cachecraft.core.runs import best_tokens
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.deviation import On, check_compared, deviations, start_all
from ragkit.cachecraft.hf.layers import Layers, Tokens, layer_by_layer
from ragkit.cachecraft.hf.scores import reused_positions
from ragkit.cachecraft.hf.state import State
from ragkit.errors import UsageError

Counted = Literal["above", "all"]
"""What the mean share is taken over: the layers above the first, or all, of which the first is computed whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Narrowed:
    """A prompt after a forward with a shrinking set.

    `repaired` are the positions of reused chunks computed in each layer, `token_layers` all that was computed, a layer
    of which only the projections were made counting as its share of weights.
    """

    state: State
    repaired: tuple[Positions, ...]
    token_layers: float


def narrowing_shares(
    layers: int, share: float, *, spread: float = 0.5, counted: Counted = "above"
) -> NDArray[np.float64]:
    """Return for each layer the share r_i of tokens computed: 1 in layer 0, then falling evenly, mean `share`.

    From (1 + spread) times their mean to (1 - spread) times; the paper says "a little above" and no more. With
    `counted` "all" the mean over all layers is `share`, which cannot be below 1 / layers. Raises UsageError for values
    out of range.
    """
    mean = share if counted == "above" else (share * layers - 1) / max(1, layers - 1)
    if layers < 2 or not 0 <= mean <= 1 or not 0 <= spread <= 1 or counted not in ("above", "all"):
        raise UsageError(
            f"A share of {share} ({counted} layers of {layers}) with a spread of {spread} was given.",
            hint="Expected a share from 0 (with 'all', from 1 / layers) to 1, and a spread from 0 to 1.",
        )
    spread = min(spread, 1 / mean - 1) if mean else 0.0
    return np.concatenate([[1.0], mean * np.linspace(1 + spread, 1 - spread, layers - 1)])


def run_narrowed(
    backend: HfBackend,
    plan: Plan,
    blobs: Mapping[str, Any],
    shares: Sequence[float] | NDArray[np.float64],
    *,
    on: On = "value",
    room: int = 0,
) -> Narrowed:
    """Return the state when layer i recomputes the share `shares[i]` of the reused chunks' tokens that deviate most.

    `plan` has no repairs (policy "none"); its fresh tokens are computed in every layer. Layer 0 is run for all tokens;
    in each further layer, fresh values (or keys) of the tokens kept so far are compared with the cached ones, the
    layer is run for those that deviate most, and the others keep their cached keys and values from there on. Raises
    UsageError where there are not as many shares as layers, they do not fall, or the first is not 1.
    """
    check_compared(on)
    count = backend.shape.layers
    wanted = np.asarray(shares, np.float64)
    if wanted.shape != (count,) or wanted[0] != 1 or (np.diff(wanted) > 1e-12).any() or wanted[-1] < 0:
        raise UsageError(
            f"Shares {wanted[:4].tolist()}... were given; expected one for each of {count} layers, the first 1, "
            "none above the one before.",
            hint="narrowing_shares makes them.",
        )
    chunks = reused_positions(plan)
    with backend.lock, torch.inference_mode():
        layers = layer_by_layer(backend, backend.loaded([plan], blobs, room))
        tokens = start_all(layers, plan)
        work = float(len(tokens.positions))
        tokens = layers.run(0, tokens)
        repaired = [chunks]
        for layer in range(1, count):
            before = len(tokens.positions)
            tokens, kept = _narrow(layers, layer, tokens, repaired[-1], round(wanted[layer] * len(chunks)), on=on)
            work += len(tokens.positions) + (before - len(tokens.positions)) * layers.projections
            tokens = layers.run(layer, tokens)
            repaired.append(kept)
        state = State(plan, layers.cache, 0, layers.logits(tokens))
    return Narrowed(state, tuple(repaired), work)


def _narrow(
    layers: Layers, layer: int, tokens: Tokens, kept: Positions, count: int, *, on: On
) -> tuple[Tokens, Positions]:
    """Return the tokens without all but the `count` of `kept` that deviate most in `layer`, and these positions."""
    if count >= len(kept):
        return tokens, kept
    gaps = deviations(layers, layer, tokens, on)[np.searchsorted(tokens.positions, kept)]
    best = kept[best_tokens(gaps, count)]
    others = np.setdiff1d(tokens.positions, kept)
    return layers.keep(tokens, np.union1d(others, best)), best
