"""What a repair policy is given, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.choice import Chosen
from ragkit.cachecraft.core.offset import tokens_to_repair
from ragkit.cachecraft.core.prompt import Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.runs import Tokens
from ragkit.cachecraft.core.sharing import part_of


@dataclass(frozen=True, eq=False)
class RepairTask:
    """The reused chunks that may be repaired, in order, and the budget; tokens are counted through these chunks."""

    layout: Layout
    chunks: Sequence[Chosen]
    repair: Repair
    scores: NDArray[np.float64] | None = None
    """A score for each position of the prompt, for policies that ask the model."""

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each chunk."""
        return np.array([one.variant.tokens for one in self.chunks], np.int64)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """The number of each chunk's first token."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The position of each chunk's first token."""
        return np.array([one.start for one in self.chunks], np.int64)

    @cached_property
    def tokens(self) -> int:
        """Tokens of all chunks."""
        return int(self.lengths.sum())

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """The position in the prompt of each token."""
        return np.arange(self.tokens) + np.repeat(self.starts - self.offsets, self.lengths)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many tokens of each chunk eq. 14 repairs, at the CFO that was chosen."""
        return np.array([tokens_to_repair(one.cfo, one.variant.tokens) for one in self.chunks], np.int64)

    @cached_property
    def budget(self) -> int:
        """How many tokens are repaired: the share of all, or what eq. 14 says where an alpha is given."""
        return part_of(self.repair.share, self.tokens) if self.repair.alpha is None else int(self.counts.sum())


Policy = Callable[[RepairTask], Tokens]
"""From the task to the tokens that are computed again."""
