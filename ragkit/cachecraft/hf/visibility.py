"""Which keys each query of a pass sees, from positions alone and never from the order of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Mask = Literal["exact", "bottom_right"]
"""`exact`: a query sees the keys up to its own position. `bottom_right`: what released code of others does instead;
the j-th of n queries sees all but the last n - j keys, so scattered queries see their future. For comparison only."""

PAD = -1
"""A position that stands for no token: a shorter row of a batch is filled with it on the left."""

_ALIGNED = 16
"""Entries to which the rows of a mask are padded in memory; GPU kernels copy a mask that is not."""


class Block(NamedTuple):
    """Queries `[start, end)`, the keys `[0, keys)` that they may see, and an additive mask (rows, 1, queries, keys)."""

    start: int
    end: int
    keys: int
    mask: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One forward pass over rows `[first, first + rows)` of a batch: slots to write and what each query sees.

    `positions` (rows, queries) are those of the queries; padding has the position and slot `spare`. `plain` says that
    no mask is needed: the queries are all keys in order, or one query for each row that sees all keys. `run` are the
    slots that all rows write, if they are the same and consecutive; a block's mask is there for `groups` heads.
    """

    first: int
    positions: torch.Tensor
    limits: torch.Tensor
    keys: int
    plain: bool
    run: tuple[int, int] | None
    blocks: tuple[Block, ...]
    groups: int

    @property
    def rows(self) -> int:
        """The rows of the batch that take part."""
        return int(self.positions.shape[0])

    def dense(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the additive mask as one tensor (rows, 1, queries, keys), as transformers writes it."""
        return _mask(self.limits, self.keys, 1, dtype, torch.finfo(dtype).min)


def make_pass(
    positions: NDArray[np.int64],
    *,
    spare: int,
    dtype: torch.dtype,
    device: torch.device,
    limits: NDArray[np.int64] | None = None,
    first: int = 0,
    block: int = 64,
    groups: int = 1,
) -> Pass:
    """Return the pass over `positions` (rows, queries), ascending in each row, padded on the left with `PAD`.

    `limits` says for each query the last key that it sees; without it that is its own position. `groups` repeats the
    masks of a block for as many query heads that are computed together.
    """
    padding = positions == PAD
    seen = np.where(padding, 0, positions if limits is None else limits)
    keys = int(max(seen.max(), positions.max())) + 1
    queries = positions.shape[1]
    ordered = bool((positions == np.arange(keys)).all()) if queries == keys else False
    plain = (ordered and bool((seen == positions).all())) or (queries == 1 and bool((seen == keys - 1).all()))
    on_device = torch.from_numpy(np.ascontiguousarray(seen)).to(device)
    found = [] if plain else _blocks(seen, on_device, block, groups, dtype)
    where = torch.from_numpy(np.where(padding, spare, positions)).to(device)
    same = bool((positions == positions[0]).all() and (np.diff(positions[0]) == 1).all() and not padding.any())
    run = (int(positions[0, 0]), int(positions[0, -1]) + 1) if same else None
    return Pass(first, where, on_device, keys, plain, run, tuple(found), groups)


def limits_of(positions: NDArray[np.int64], lengths: NDArray[np.int64], mask: Mask) -> NDArray[np.int64]:
    """Return the last key that each query sees; `lengths` are the rows' prompts in tokens."""
    if mask == "exact":
        return positions
    queries = positions.shape[1]
    return np.where(positions == PAD, 0, lengths[:, None] - queries + np.arange(queries))


def _blocks(seen: NDArray[np.int64], limits: torch.Tensor, block: int, groups: int, dtype: torch.dtype) -> list[Block]:
    found = []
    for start in range(0, seen.shape[1], block):
        end = min(start + block, seen.shape[1])
        keys = int(seen[:, start:end].max()) + 1
        found.append(Block(start, end, keys, _mask(limits[:, start:end], keys, groups, dtype, -torch.inf)))
    return found


def _mask(limits: torch.Tensor, keys: int, groups: int, dtype: torch.dtype, hidden: float) -> torch.Tensor:
    """Return 0 where the key is not beyond the limit and `hidden` elsewhere, (rows, 1, groups * queries, keys)."""
    wide = -(-keys // _ALIGNED) * _ALIGNED
    beyond = torch.arange(wide, device=limits.device) > limits[..., None]
    mask = torch.zeros(beyond.shape, dtype=dtype, device=limits.device).masked_fill_(beyond, hidden)[:, None]
    if groups > 1:
        mask = mask[:, :, None].expand(-1, -1, groups, -1, -1).reshape(len(limits), 1, -1, wide)
    return mask[..., :keys]
