"""Keys and values of a batch of prompts in full length: slot p holds position p, loaded or computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache

from ragkit.cachecraft.hf.visibility import Pass


@dataclass(frozen=True, slots=True)
class Shape:
    """What one token's keys and values are in a model."""

    layers: int
    heads: int
    """Key-value heads."""
    width: int
    """Dimensions of a head."""
    dtype: torch.dtype

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of one token."""
        return 2 * self.layers * self.heads * self.width * int(self.dtype.itemsize)

    def tensor(self, tokens: int) -> tuple[int, int, int, int, int]:
        """The shape of a captured piece: (layers, keys and values, heads, tokens, head dim)."""
        return self.layers, 2, self.heads, tokens, self.width


class KeyValues(Cache):  # type: ignore[misc]  # transformers is not typed
    """A cache that transformers' layers write to: `update` puts new keys into the slots of the pass under way.

    `keys` and `values` are (layers, rows, heads, capacity + 1, head dim); the last slot takes what padding writes and
    is never seen. Loaded pieces are put in before a pass.
    """

    def __init__(self, shape: Shape, rows: int, capacity: int, device: torch.device, *, blank: bool = True) -> None:
        """Make room for `capacity` tokens of each row; with `blank` False the slots hold anything until written."""
        super().__init__(layers=[])
        self.capacity = capacity
        size = shape.layers, rows, shape.heads, capacity + 1, shape.width
        make = torch.zeros if blank else torch.empty
        self.keys = make(size, dtype=shape.dtype, device=device)
        self.values = make(size, dtype=shape.dtype, device=device)
        self.current: Pass | None = None
        self.pending: Callable[[int], None] | None = None
        """Puts the loaded pieces of a layer into their slots, if they are not there yet; asked before each layer."""

    @property
    def spare(self) -> int:
        """The slot that padding writes to."""
        return self.capacity

    def clear(self, row: int, start: int, end: int) -> None:
        """Put zeros into the slots [start, end) of a row: what a row does not use is read, masked, if others use it."""
        self.keys[:, row, :, start:end] = 0.0
        self.values[:, row, :, start:end] = 0.0

    def piece(self, row: int, start: int, end: int) -> torch.Tensor:
        """Return a copy of the slots [start, end) of a row, (layers, 2, heads, tokens, head dim)."""
        return torch.stack([self.keys[:, row, :, start:end], self.values[:, row, :, start:end]], 1)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the pass' new keys and values to their slots and return all that its queries may see."""
        current = self.current
        if current is None:
            raise RuntimeError("update was called outside of a pass")
        if self.pending is not None:
            self.pending(layer_idx)
        rows = slice(current.first, current.first + current.rows)
        found = []
        for buffer, new in ((self.keys[layer_idx, rows], key_states), (self.values[layer_idx, rows], value_states)):
            if current.run is not None:
                buffer[:, :, current.run[0] : current.run[1]] = new
            elif current.rows == 1:
                buffer[0].index_copy_(1, current.positions[0], new[0])
            else:
                slots = current.positions[:, None, :, None].expand(-1, new.shape[1], -1, new.shape[3])
                buffer.scatter_(2, slots, new)
            found.append(buffer[:, :, : current.keys])
        return found[0], found[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - the signature is the library's
        """Return the slots that the pass under way sees."""
        return 0 if self.current is None else self.current.keys

    def __len__(self) -> int:
        return int(self.keys.shape[0])
