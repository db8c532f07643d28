"""Which positions of a prompt are loaded and which are computed, and in what rows an attention kernel sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.prompt import Layout, Positions
from ragkit.cachecraft.core.variant import Variant


class Load(NamedTuple):
    """Tokens `[source, source + length)` of a variant that go to the positions from `target` on."""

    variant: Variant
    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class Loads:
    """Runs of tokens to load, in the order of positions: of each its variant, its source, its target and its length.

    Arrays with one entry for each run, since a repair of single tokens leaves thousands of runs; `which` counts through
    `variants`. Iterating gives them as `Load`, one by one.
    """

    variants: tuple[Variant, ...]
    which: NDArray[np.int64]
    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Load]:
        columns = (self.which, self.sources, self.targets, self.lengths)
        for which, source, target, length in zip(*(column.tolist() for column in columns), strict=True):
            yield Load(self.variants[which], source, target, length)

    def within(self, begin: int, end: int) -> Loads:
        """Return the parts of the runs that go to the positions `[begin, end)`."""
        first = np.maximum(self.targets, begin)
        lengths = np.minimum(self.targets + self.lengths, end) - first
        some = lengths > 0
        sources = self.sources + first - self.targets
        return Loads(self.variants, self.which[some], sources[some], first[some], lengths[some])


@dataclass(frozen=True, slots=True, eq=False)
class Reused:
    """One piece of a prompt that is served from `variant`: piece number, first position, CFO, positions repaired."""

    piece: int
    start: int
    variant: Variant
    cfo: float
    repaired: Positions


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to do for one prompt.

    `fresh` are the positions that are computed, ascending: repairs, chunks without a variant, glue, the question;
    everything else is loaded. `reasons` says for a piece number why nothing of it is reused.
    """

    layout: Layout
    reused: tuple[Reused, ...]
    fresh: Positions
    reasons: tuple[tuple[int, str], ...] = ()

    @property
    def repaired_tokens(self) -> int:
        """Tokens of reused chunks that are computed again."""
        return sum(len(one.repaired) for one in self.reused)

    @property
    def share(self) -> float:
        """The realised repair share r: chunk tokens computed (repairs and cold chunks) per chunk token."""
        context = self.layout.context_tokens
        if not context:
            return 0.0
        spans = [self.layout.spans[at] for at in self.layout.chunks]
        inside = sum(
            int(np.searchsorted(self.fresh, span.end) - np.searchsorted(self.fresh, span.start)) for span in spans
        )
        return inside / context


class Row(NamedTuple):
    """A run of consecutive fresh positions: as many queries, which see the first `keys` keys of the prompt."""

    queries: int
    keys: int


def rows(fresh: Sequence[int] | Positions) -> list[Row]:
    """Return the runs of `fresh`, ascending positions, as rows of one sequence (vllm_backend 3).

    >>> rows([3, 4, 5, 9, 16, 17, 24, 25, 26, 27])
    [Row(queries=3, keys=6), Row(queries=1, keys=10), Row(queries=2, keys=18), Row(queries=4, keys=28)]
    """
    positions = np.asarray(fresh, np.int64)
    if not len(positions):
        return []
    starts = np.flatnonzero(np.diff(positions, prepend=positions[0] - 2) != 1)
    ends = np.append(starts[1:], len(positions))
    return [Row(int(end - start), int(positions[end - 1] + 1)) for start, end in zip(starts, ends, strict=True)]
