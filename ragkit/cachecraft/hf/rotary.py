"""Keys moved from the position where they were computed to another one, with the model's own table of angles.

Stored keys carry their position. They are rotated back with the table row of the old position, rounded to the model's
number format, and rotated to the new one as the model does it (Cache-Craft, 2.7). The rounding in between restores the
key as the model first had it, because that was such a number; dividing by c^2 + s^2 undoes rounding and scaling (YaRN)
of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import torch


class Pairing(StrEnum):
    """Which two dimensions turn together: the halves of the rotary dimensions (NeoX), or neighbours (GPT-J)."""

    HALVES = "halves"
    NEIGHBOURS = "neighbours"


Form = Literal["half", "halves", "neighbours"]
"""How a model's module lays out its rows: each angle once, twice as two halves, or twice side by side."""

Turn = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Writes the keys (..., tokens, head dim) it is given, moved, to its second argument, and returns that."""

_Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Rotary:
    """The rotary positions of one model; `module` is its own, called as the model calls it."""

    module: Any
    pairing: Pairing
    form: Form
    dtype: torch.dtype
    device: torch.device
    width: int
    """Rotary dimensions of a head; the dimensions behind them stay as they are."""
    arithmetic: torch.dtype
    """The format in which the model multiplies keys and table: its own, or float32 where it takes more care."""

    def rows(self, start: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine of positions from `start` on, rounded as the model does, (tokens, width / 2)."""
        positions = torch.arange(start, start + tokens, device=self.device)[None]
        cos, sin = self.module(torch.zeros(1, tokens, 1, dtype=self.dtype, device=self.device), positions)
        return once(cos[0], self.form), once(sin[0], self.form)

    def moved(self, keys: torch.Tensor, old: int, new: int) -> torch.Tensor:
        """Return `keys` (..., tokens, head dim), computed at positions from `old` on, as they are from `new` on."""
        return self.move(keys, old, new, torch.empty_like(keys))

    def move(self, keys: torch.Tensor, old: int, new: int, out: torch.Tensor) -> torch.Tensor:
        """Write what `moved` returns to `out` and return it; equal positions copy the bits."""
        return self.turn(old, new, keys.shape[-2])(keys, out)

    def turn(self, old: int, new: int, tokens: int) -> Turn:
        """Return `move` for `tokens` positions, its table made once: for keys that come layer by layer."""
        if old == new:
            return lambda keys, out: out.copy_(keys)
        turned = self._turned(self.rows(old, tokens), self.rows(new, tokens))

        def turn(keys: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
            there = turned(*_pairs(keys[..., : self.width], self.pairing))
            for part, target in zip(there, _pairs(out[..., : self.width], self.pairing), strict=True):
                target.copy_(part)
            out[..., self.width :] = keys[..., self.width :]
            return out

        return turn

    def _turned(self, before: _Pair, after: _Pair) -> Callable[[torch.Tensor, torch.Tensor], _Pair]:
        """Return what turns pairs of keys from the table rows `before` to those `after`."""
        if self.dtype.itemsize >= torch.float32.itemsize:
            joined = _joined(before, after, self.dtype)
            return lambda x, y: _turned(x, y, *joined)
        cos, sin = (row.float() for row in before)
        to_cos, to_sin = (row.to(self.arithmetic) for row in after)

        def turned(x: torch.Tensor, y: torch.Tensor) -> _Pair:
            free = [part.to(self.dtype).to(self.arithmetic) for part in unrotated(x.float(), y.float(), cos, sin)]
            return rotated(free[0], free[1], to_cos, to_sin)

        return turned


def rotated(
    x: torch.Tensor, y: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pairs (x, y) turned by the table rows."""
    return x * cos - y * sin, y * cos + x * sin


def unrotated(
    x: torch.Tensor, y: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pairs that `rotated` turned into (x, y), whatever the length of the table's rows."""
    size = cos * cos + sin * sin
    return (x * cos + y * sin) / size, (y * cos - x * sin) / size


def _joined(
    before: tuple[torch.Tensor, torch.Tensor], after: tuple[torch.Tensor, torch.Tensor], dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows that rotate back and forth at once: full formats have nothing to gain by rounding in between."""
    (cos, sin), (to_cos, to_sin) = [(c.double(), s.double()) for c, s in (before, after)]
    joined_cos, joined_sin = unrotated(to_cos, to_sin, cos, sin)
    return joined_cos.to(dtype), joined_sin.to(dtype)


def _turned(
    x: torch.Tensor, y: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `rotated`, in two sweeps over each result."""
    return (x * cos).addcmul_(y, sin, value=-1), (y * cos).addcmul_(x, sin)


def once(row: torch.Tensor, form: Form) -> torch.Tensor:
    """Return each angle of a table row once."""
    if form == "half":
        return row
    return row[..., : row.shape[-1] // 2] if form == "halves" else row[..., ::2]


def form_of(row: torch.Tensor) -> Form:
    """Return how `row`, the table of some position (not 0), is laid out."""
    if row.shape[-1] % 2 == 0:
        if torch.equal(row[..., : row.shape[-1] // 2], row[..., row.shape[-1] // 2 :]):
            return "halves"
        if torch.equal(row[..., ::2], row[..., 1::2]):
            return "neighbours"
    return "half"


def _pairs(keys: torch.Tensor, pairing: Pairing) -> tuple[torch.Tensor, torch.Tensor]:
    half = keys.shape[-1] // 2
    if pairing is Pairing.HALVES:
        return keys[..., :half], keys[..., half:]
    return keys[..., ::2], keys[..., 1::2]
