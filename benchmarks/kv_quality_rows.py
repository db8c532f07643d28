"""Many plans of a few questions as rows of one cache: what a question's cases reuse is moved once and copied to rows.

`HfBackend.run_many` places every reused piece into every row by itself, which on a GPU is mostly the starting of
kernels. Plans of one question and one store differ only in what they compute again; so their reused pieces are placed
once, in a row of their own, and that row is copied as a whole. Passes may be larger than the backend's, and may waste
more, as a pass of a small model costs a GPU little but its kernels' start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.grouping import slices
from ragkit.cachecraft.hf.key_values import KeyValues
from ragkit.cachecraft.hf.state import State

PASS_TOKENS = {"cpu": 4096, "cuda": 65_536}
WASTE = {"cpu": 32, "cuda": 4096}
"""Tokens of padding that cost less than another pass."""


class Row(NamedTuple):
    """A plan, and the plan without repairs over the same stored pieces; None where nothing is reused."""

    plan: Plan
    base: Plan | None


def run_rows(backend: HfBackend, rows: Sequence[Row], blobs: Mapping[str, torch.Tensor], room: int) -> list[State]:
    """Return the states of the plans, in their order; all are rows of one cache with `room` for further tokens."""
    order = sorted(range(len(rows)), key=lambda at: -len(rows[at].plan.fresh))
    plans = [rows[at].plan for at in order]
    cache = KeyValues(backend.shape, len(rows), max(len(plan.layout.ids) for plan in plans) + room, backend.device)
    places: dict[int, list[int]] = {}
    for place, at in enumerate(order):
        places.setdefault(id(rows[at].base), []).append(place)
    with torch.inference_mode():
        for base in {id(row.base): row.base for row in rows}.values():
            if base is not None:
                _copy(backend.loaded([base], blobs), cache, places[id(base)], len(base.layout.ids))
    states: list[State] = []
    kind = backend.device.type
    for first, end in slices([len(plan.fresh) for plan in plans], PASS_TOKENS[kind], floor=WASTE[kind]):
        states += backend.compute(cache, plans[first:end], first)
    return [state for _, state in sorted(zip(order, states, strict=True), key=lambda pair: pair[0])]


def _copy(stitched: KeyValues, cache: KeyValues, places: Sequence[int], tokens: int) -> None:
    rows = torch.tensor(places, device=cache.keys.device)
    for source, target in ((stitched.keys, cache.keys), (stitched.values, cache.values)):
        part = source[:, :, :, :tokens]
        target[:, :, :, :tokens].index_copy_(1, rows, part.expand(-1, len(places), -1, -1, -1))
