"""What a partial forward leaves behind: the next token's logits, and a cache to go on with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.prompt import Span
from ragkit.cachecraft.hf.key_values import KeyValues


@dataclass(slots=True, eq=False)
class State:
    """One prompt after its forward: `row` of `key_values`, in slots [0, length).

    `logits` (vocabulary,) are those of the last token computed, float32 (float64 for a float64 model); `masses` are
    the attention of observed pieces (layers, tokens, pieces). Decoding writes behind `length` and leaves the state as
    it is, so it can be decoded from again.
    """

    plan: Plan
    key_values: KeyValues
    row: int
    logits: torch.Tensor
    masses: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """The tokens that are in the cache: the prompt, or what of it was prefilled."""
        return int(self.plan.fresh[-1]) + 1

    @property
    def room(self) -> int:
        """Slots for further tokens."""
        return self.key_values.capacity - self.length

    def span(self, piece: int) -> Span:
        """Where a piece of the prompt stands."""
        return self.plan.layout.spans[piece]
