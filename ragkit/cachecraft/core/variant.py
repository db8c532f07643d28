"""One cached computation of a chunk: behind which other chunks it was made, and what that says of repairing it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.prompt import Ids


@dataclass(frozen=True, eq=False)
class ChunkStatistics:
    """What a chunk's tokens attended to when its variant was made (Cache-Craft, eq. 3, 4, 9, 10, 14).

    `inter[j]` is the attention mass on the j-th chunk of the variant's history, summed over layers and averaged over
    heads; `a_bar` and `b_bar` are the mean inter and intra mass per pair of tokens; `token_mass[t]` is the attention of
    token t to all chunks before, averaged over layers, float32. The sink (prefix, glue) is handled as `sink` says;
    where it is included, its mass is one more entry at the end of `inter`. No slots: what is derived is made once.
    """

    inter: NDArray[np.float64]
    a_bar: float
    b_bar: float
    token_mass: NDArray[np.float32]
    sink: str = "exclude"

    def derive(self) -> None:
        """Work out what choices and plans need of the variant, so that no request has to wait for it."""
        _ = self.order, self.inter_total, self.cci

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """The tokens by descending mass, the smaller position first where masses are equal (eq. 14)."""
        bits = (self.token_mass.astype(np.float32) + np.float32(0)).view(np.int32)
        rising = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)  # orders as the floats do
        keys = np.sort(np.arange(len(bits)) - (rising << 32))  # keys with places: five times as fast as a stable sort
        return (keys & 0xFFFFFFFF).astype(np.int32)

    @cached_property
    def inter_total(self) -> float:
        """The sum of `inter`, added in order."""
        return in_order(self.inter.tolist())

    @cached_property
    def cci(self) -> float:
        """How much the chunk depends on its context, 0.5 (not at all) to 1 (eq. 11); never below 0.5."""
        if self.b_bar <= 0:
            return 1.0 if self.a_bar > 0 else 0.5
        return 1.0 / (1.0 + math.exp(-self.a_bar / self.b_bar))


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """The metadata of one cached chunk; its keys and values are a blob of that name in the tiers.

    `chunk` is the key of its content (`ragkit.cachecraft.core.keys`), `ids` are compared on every hit; `prefix` is the
    key of the system prefix it stood behind. `start` is the position of its first token then, `history` the keys of
    the chunks before it in order (a chunk may be there twice) with their `lengths` in tokens. `generation` is 0 where
    everything before it was computed exactly, else one more than that of the most approximate chunk before it.
    `statistics` is None where they were not captured.
    """

    name: str
    chunk: str
    ids: Ids
    prefix: str
    start: int
    history: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    generation: int = 0
    size: int = 0
    """Bytes of the blob."""
    statistics: ChunkStatistics | None = field(default=None, repr=False)
    context: str = ""
    """The key of all ids that stood before it then, labels included (`context_key`); "" where it is not known."""

    @property
    def tokens(self) -> int:
        """The chunk's length."""
        return len(self.ids)


def in_order(masses: Iterable[float]) -> float:
    """Return the sum as added one by one; `sum` compensates errors from Python 3.12 on, sums over arrays do not."""
    return reduce(add, masses, 0.0)
