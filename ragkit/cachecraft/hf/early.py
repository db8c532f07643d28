"""Repairs that stop on the way up for chunks the question ignores (Cache-Craft, 2.5). Reference only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.prompt import Positions
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.focus import FocusRule, focused, per_token
from ragkit.cachecraft.hf.layers import Layers, Tokens, layer_by_layer
from ragkit.cachecraft.hf.masses import observing
from ragkit.cachecraft.hf.state import State


@dataclass(frozen=True, slots=True, eq=False)
class Early:
    """A prompt after a forward whose repairs stopped early.

    `stop` is the last layer that ran all fresh tokens, None where the focus never settled; `focus` are the pieces in
    focus at that layer; `token_layers` is what was computed, `planned_token_layers` what the plan would have cost.
    """

    state: State
    stop: int | None
    focus: frozenset[int]
    token_layers: int
    planned_token_layers: int


def run_early(
    backend: HfBackend, plan: Plan, blobs: Mapping[str, Any], *, rule: FocusRule | None = None, room: int = 0
) -> Early:
    """Return the state of `plan` when repairs of unfocused chunks stop at the layer where the focus is settled.

    Above that layer the cached keys and values of these chunks are used as they are. Chunks without a variant, glue
    and the question always go on to the top. The focus is that of the question's attention while the forward runs.
    """
    rule = rule or FocusRule()
    chunks = np.array(plan.layout.chunks, np.int64)
    with backend.lock, torch.inference_mode():
        layers = layer_by_layer(backend, backend.loaded([plan], blobs, room))
        tokens = layers.embed(plan.layout.ids[plan.fresh], plan.fresh)
        tokens, sets, work = _until_settled(layers, tokens, plan, rule)
        stop = len(sets) - 1 if sets and rule.settled(sets, len(layers)) else None
        focus = frozenset(chunks[sorted(sets[-1])].tolist()) if sets else frozenset()
        if stop is not None:
            tokens = layers.keep(tokens, _going_on(plan, focus))
        for layer in range(len(sets), len(layers)):
            tokens = layers.run(layer, tokens)
            work += len(tokens.positions)
        state = State(plan, layers.cache, 0, layers.logits(tokens))
    return Early(state, stop, focus, work, len(plan.fresh) * len(layers))


def _until_settled(
    layers: Layers, tokens: Tokens, plan: Plan, rule: FocusRule
) -> tuple[Tokens, list[frozenset[int]], int]:
    """Run layers until the focus is settled; return the tokens, the focus after each layer, and token-layers."""
    spans = plan.layout.spans
    chunks = list(plan.layout.chunks)
    lengths = np.array([spans[at].end - spans[at].start for at in chunks], np.int64)
    cumulative = np.zeros(len(chunks))
    sets: list[frozenset[int]] = []
    while chunks and len(sets) < len(layers) and not (sets and rule.settled(sets, len(layers))):
        layer = len(sets)
        with observing(layers.model, spans, np.arange(*spans[-1]), layers=[layer]) as seen:
            tokens = layers.run(layer, tokens, observed=True)
        cumulative += per_token(seen.masses[0][:, chunks], lengths)
        sets.append(focused(cumulative))
    return tokens, sets, len(sets) * len(tokens.positions)


def _going_on(plan: Plan, focus: frozenset[int]) -> Positions:
    """Return the fresh positions without the repairs of reused chunks that are not in focus."""
    chunks = set(plan.layout.chunks)
    ends = [one.repaired for one in plan.reused if one.piece in chunks and one.piece not in focus]
    return np.setdiff1d(plan.fresh, np.concatenate([np.zeros(0, np.int64), *ends]))
