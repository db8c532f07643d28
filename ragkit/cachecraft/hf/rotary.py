"""Keys moved from the position where they were computed to another one, with the model's own table of angles.

Stored keys carry their position. They are rotated back with the table row of the old position, rounded to the model's
number format, and rotated to the new one (Cache-Craft, 2.7). The rounding in between restores the key as the model
first had it, because that was such a number; dividing by c^2 + s^2 undoes rounding and scaling (YaRN) of the table.
"""

from __future__ import annotations

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

    def rows(self, start: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine of `tokens` positions from `start` on, rounded as the model does, shape (tokens, w/2).

        They are given in the format that the rotation is computed in: float32, or float64 for such a model.
        """
        positions = torch.arange(start, start + tokens, device=self.device)[None]
        cos, sin = self.module(torch.zeros(1, tokens, 1, dtype=self.dtype, device=self.device), positions)
        exact = torch.promote_types(self.dtype, torch.float32)
        return once(cos[0], self.form).to(exact), once(sin[0], self.form).to(exact)

    def moved(self, keys: torch.Tensor, old: int, new: int) -> torch.Tensor:
        """Return `keys` (..., tokens, head dim), computed at positions from `old` on, as they are from `new` on.

        Equal positions give the tensor itself, bit for bit.
        """
        if old == new:
            return keys
        tokens = keys.shape[-2]
        turned = _pairs(keys[..., : self.width].to(self._exact), self.pairing)
        free = [part.to(self.dtype).to(self._exact) for part in unrotated(*turned, *self.rows(old, tokens))]
        there = rotated(free[0], free[1], *self.rows(new, tokens))
        found = torch.empty_like(keys)
        for part, target in zip(there, _pairs(found[..., : self.width], self.pairing), strict=True):
            target.copy_(part)
        found[..., self.width :] = keys[..., self.width :]
        return found

    @property
    def _exact(self) -> torch.dtype:
        return torch.promote_types(self.dtype, torch.float32)


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
