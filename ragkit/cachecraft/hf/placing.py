"""Reused pieces put into the slots of a prompt, their keys moved: all layers at once, or each when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ragkit.cachecraft.hf.incoming import Incoming
from ragkit.cachecraft.hf.key_values import KeyValues
from ragkit.cachecraft.hf.rotary import Turn


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A piece that goes to `slots` of `rows`; `turn` moves its keys."""

    rows: Sequence[int]
    slots: slice
    turn: Turn

    def put(self, cache: KeyValues, layers: slice, tensor: torch.Tensor) -> None:
        """Write the `layers` of a piece, (layers, 2, heads, tokens, head dim)."""
        moved = self.turn(tensor[:, 0], cache.keys[layers, self.rows[0], :, self.slots])
        for row in self.rows:
            if row != self.rows[0]:
                cache.keys[layers, row, :, self.slots] = moved
            cache.values[layers, row, :, self.slots] = tensor[:, 1]


class Placing:
    """Puts pieces that are on their way into `cache`, layer by layer; called before a layer is computed."""

    def __init__(self, cache: KeyValues, pieces: Sequence[tuple[Placed, Incoming]]) -> None:
        self._cache = cache
        self._pieces = pieces
        self._next = 0

    def __call__(self, layer: int) -> None:
        """Put what is missing of the layers up to `layer`; raises LostError where it does not come.

        Once only: what is computed afterwards replaces some of it.
        """
        for at in range(self._next, layer + 1):
            for placed, incoming in self._pieces:
                placed.put(self._cache, slice(at, at + 1), incoming.layer(at)[None])
            self._next = at + 1
        if self._next == len(self._cache):
            self._pieces = ()
