"""The order of a prompt's chunks in which their stored variants fit best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ragkit.cachecraft.core.overlap import overlap
from ragkit.cachecraft.core.repair import BetaMode
from ragkit.cachecraft.core.variant import Variant

_BEAM = 4
"""Orders that are followed at once."""


class _Begun(NamedTuple):
    fit: float
    places: tuple[int, ...]


def fitting_order(
    keys: Sequence[str],
    lengths: Sequence[int],
    candidates: Callable[[str], Sequence[Variant]],
    prefix: str,
    mode: BetaMode = "paper",
) -> list[int]:
    """Return the places of chunks (their `keys` and `lengths` in tokens) in the order in which the most is reusable.

    What is made large is the sum over chunks of beta' times length, beta' being that of the chunk's best variant behind
    the chunks put before it (Cache-Craft, eq. 8). A beam search, so not always the very best; where orders fit equally,
    the one nearest to the order given. Without any variant that is the order given.
    """
    known = [[one for one in candidates(key) if one.prefix == prefix] for key in keys]
    if not any(known):
        return list(range(len(keys)))
    beam = [_Begun(0.0, ())]
    for _ in keys:
        longer = []
        for begun in beam:
            before = [keys[at] for at in begun.places]
            sizes = [lengths[at] for at in begun.places]
            for at in range(len(keys)):
                if at not in begun.places:
                    best = max((overlap(one, before, sizes, mode).value for one in known[at]), default=0.0)
                    longer.append(_Begun(begun.fit + best * lengths[at], (*begun.places, at)))
        beam = sorted(longer, key=lambda one: (-one.fit, one.places))[:_BEAM]
    return list(beam[0].places)
