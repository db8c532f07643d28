"""How much of the context in which a variant was made is there again (Cache-Craft, eq. 6, 7, 8)."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import not_
from typing import NamedTuple

from ragkit.cachecraft.core.repair import BetaMode
from ragkit.cachecraft.core.variant import Variant, in_order


class Overlap(NamedTuple):
    """`beta`: the share of the old context's mass that is present; `gamma`: how far out of order; `value`: beta'."""

    beta: float
    gamma: float
    value: float


@dataclass(slots=True)
class Context:
    """The chunks of a prompt so far, in order; `places` counts from 1 and says where each key stands first."""

    keys: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def add(self, key: str, length: int) -> None:
        """Append a chunk."""
        self.keys.append(key)
        self.lengths.append(length)
        self.places.setdefault(key, len(self.keys))


def overlap(variant: Variant, s_new: Sequence[str], lengths_new: Sequence[int], mode: BetaMode = "paper") -> Overlap:
    """Return how much of a variant's history is among the chunks `s_new`, of `lengths_new` tokens, before it now.

    `paper` is one-sided: chunks that were not there before do not lower beta. `symmetric` multiplies beta by the share
    of the new context's tokens that were there before. `count` counts chunks instead of mass and knows no order; so
    does beta where statistics are missing or all mass is 0. Behind no history the value is 1 if there is no context now
    either, else 0. Of a chunk that stands there twice, all mass counts, and the first place gives its order.
    """
    context = Context()
    for key, length in zip(s_new, lengths_new, strict=True):
        context.add(key, length)
    return overlap_with(variant, context, mode)


def overlap_with(variant: Variant, context: Context, mode: BetaMode) -> Overlap:
    """Return the overlap with the chunks of a context, about 4 microseconds for 20 of them."""
    beta, shared = beta_with(variant, context, mode)
    gamma = kendall(shared)
    return Overlap(beta, gamma, beta * (1.0 - gamma))


def beta_with(variant: Variant, context: Context, mode: BetaMode) -> tuple[float, list[int]]:
    """Return beta (eq. 6) and the places of the old chunks that are there, in their old order; none for `count`.

    The sink, the entry after the last chunk where it is counted, is always present again.
    """
    if not variant.history:
        return (0.0 if context.keys else 1.0), []
    found = list(map(context.places.get, variant.history))
    shared = list(filter(None, found))
    statistics = variant.statistics
    if mode == "count":
        return len(shared) / len(found), []
    if len(shared) == len(found):
        beta = 1.0
    elif statistics is None or statistics.inter_total <= 0:
        beta = len(shared) / len(found)
    else:
        lost = in_order(compress(statistics.inter.tolist(), map(not_, found)))
        beta = max(1.0 - lost / statistics.inter_total, 0.0)
    return (
        beta * known_share(set(variant.history), context.keys, context.lengths) if mode == "symmetric" else beta
    ), shared


def kendall(ranks: list[int]) -> float:
    """Return the share of pairs that are out of ascending order, 0 for fewer than two different ranks (eq. 7).

    Of a rank that is there twice the first counts.

    >>> kendall([0, 1, 2]), kendall([2, 1, 0]), kendall([0, 1, 0])
    (0.0, 1.0, 0.0)
    """
    if ranks == sorted(ranks):
        return 0.0
    first = list(dict.fromkeys(ranks))
    inversions = 0
    seen: list[int] = []
    for rank in first:
        inversions += len(seen) - bisect_right(seen, rank)
        insort(seen, rank)
    return inversions / (len(first) * (len(first) - 1) // 2) if inversions else 0.0


def known_share(history: set[str], keys: Sequence[str], lengths: Sequence[int]) -> float:
    """Return the share of a context's tokens that stood in the history, 1 where there are none."""
    total = sum(lengths)
    return sum(length for key, length in zip(keys, lengths, strict=True) if key in history) / total if total else 1.0
