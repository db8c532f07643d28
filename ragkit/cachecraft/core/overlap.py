"""How much of the context in which a variant was made is there again (Cache-Craft, eq. 6, 7, 8)."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ragkit.cachecraft.core.repair import BetaMode
from ragkit.cachecraft.core.variant import Variant


class Overlap(NamedTuple):
    """`beta`: the share of the old context's mass that is present; `gamma`: how far out of order; `value`: beta'."""

    beta: float
    gamma: float
    value: float


def first_places(keys: Sequence[str]) -> dict[str, int]:
    """Return where each key stands first."""
    places: dict[str, int] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, place)
    return places


def overlap(variant: Variant, s_new: Sequence[str], lengths_new: Sequence[int], mode: BetaMode = "paper") -> Overlap:
    """Return how much of a variant's history is among the chunks `s_new`, of `lengths_new` tokens, before it now.

    `paper` is one-sided: chunks that were not there before do not lower beta. `symmetric` multiplies beta by the share
    of the new context's tokens that were there before. `count` counts chunks instead of mass and knows no order; so
    does beta where statistics are missing or all mass is 0. Behind no history the value is 1 if there is no context now
    either, else 0. Of a chunk that stands there twice, all mass counts, and the first place gives its order.
    """
    return overlap_before(variant, first_places(s_new), len(s_new), s_new, lengths_new, mode)


def overlap_before(
    variant: Variant,
    places: Mapping[str, int],
    end: int,
    keys: Sequence[str],
    lengths: Sequence[int],
    mode: BetaMode,
) -> Overlap:
    """Return the overlap with the first `end` of `keys`; `places` are the first places of all keys of the prompt."""
    history = variant.history
    if not history:
        value = 0.0 if end else 1.0
        return Overlap(value, 0.0, value)
    found = [places.get(key, end) for key in history]
    if mode == "count":
        beta = sum(place < end for place in found) / len(found)
        return Overlap(beta, 0.0, beta)
    beta = _beta(variant, found, end)
    gamma = kendall(dict.fromkeys(place for place in found if place < end))
    if mode == "symmetric":
        beta *= _present(set(history), keys[:end], lengths[:end])
    return Overlap(beta, gamma, beta * (1.0 - gamma))


def kendall(ranks: Iterable[int]) -> float:
    """Return the share of pairs that are out of ascending order, 0 for fewer than two different ranks (eq. 7).

    >>> kendall([0, 1, 2]), kendall([2, 1, 0])
    (0.0, 1.0)
    """
    seen: list[int] = []
    inversions = 0
    for rank in ranks:
        inversions += len(seen) - bisect_right(seen, rank)
        insort(seen, rank)
    pairs = len(seen) * (len(seen) - 1) // 2
    return inversions / pairs if pairs else 0.0


def _beta(variant: Variant, found: Sequence[int], end: int) -> float:
    """Return eq. 6; the sink, where it is counted, is always present again."""
    if variant.statistics is not None:
        masses, there = variant.statistics.inter_masses, variant.statistics.sink_mass
        total = sum(masses) + there
        if total > 0:
            kept = sum([mass for mass, place in zip(masses, found, strict=True) if place < end]) + there
            return min(kept / total, 1.0)
    return sum(place < end for place in found) / len(found)


def _present(history: set[str], keys: Sequence[str], lengths: Sequence[int]) -> float:
    """Return the share of the new context's tokens that stood in the history."""
    total = sum(lengths)
    shared = sum(length for key, length in zip(keys, lengths, strict=True) if key in history)
    return shared / total if total else 1.0
