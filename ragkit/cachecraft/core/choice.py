"""Which variant of each chunk serves a prompt: that of the least CFO (Cache-Craft, 2.6 of the specification)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.cachecraft.core.keys import chunk_key
from ragkit.cachecraft.core.offset import variant_cfo
from ragkit.cachecraft.core.overlap import first_places, overlap_before
from ragkit.cachecraft.core.prompt import Ids, Kind, Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import Variant
from ragkit.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The variant that serves a piece, whose first token stands at `start`; its CFO, at alpha 1 where none is given."""

    piece: int
    start: int
    variant: Variant
    cfo: float


def chunk_keys(layout: Layout, space: str, domain: str = "") -> dict[int, str]:
    """Return the keys of the prefix and of the chunks of a prompt, by piece; empty pieces have none."""
    return {
        at: chunk_key(space, piece.ids, domain)
        for at, piece in enumerate(layout.pieces)
        if piece.kind in (Kind.PREFIX, Kind.CHUNK) and len(piece.ids)
    }


def prefix_key(layout: Layout, keys: Mapping[int, str]) -> str:
    """Return the key of the prompt's system prefix, "" where there is none."""
    return keys[0] if len(layout.prefix) else ""


def history(layout: Layout, keys: Mapping[int, str], piece: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the keys and lengths of the chunks before `piece`, in order: the history of a variant made here."""
    before = [at for at in layout.chunks if at < piece]
    return tuple(keys[at] for at in before), tuple(len(layout.pieces[at].ids) for at in before)


def choose(
    layout: Layout,
    keys: Mapping[int, str],
    candidates: Callable[[str], Sequence[Variant]],
    prefix: str,
    repair: Repair,
) -> tuple[dict[int, Chosen], dict[int, str]]:
    """Return by piece the variant of least CFO, and for the other pieces of `keys` why there is none.

    A variant that was made behind another prefix than `prefix`, or of other ids, is no candidate. Among equal CFOs the
    least generation wins, then one that does not move, then the first name. Raises UsageError where a chunk has no key.
    """
    order = {at: place for place, at in enumerate(layout.chunks)}
    if not keys.keys() >= order.keys():
        raise UsageError(f"Keys of the pieces {sorted(keys)} were given; expected those of all chunks {sorted(order)}.")
    sequence = [keys[at] for at in layout.chunks]
    lengths = [len(layout.pieces[at].ids) for at in layout.chunks]
    places = first_places(sequence)
    alpha = 1.0 if repair.alpha is None else repair.alpha
    chosen: dict[int, Chosen] = {}
    reasons: dict[int, str] = {}
    for at, key in keys.items():
        start = layout.spans[at].start
        stored = candidates(key)
        place = order.get(at)
        if place is None:
            ranked = [(0.0, one) for one in stored if not one.history and not one.start and not one.generation]
            behind = ""
        else:
            ranked = [
                (variant_cfo(one, overlap_before(one, places, place, sequence, lengths, repair.beta_mode), alpha), one)
                for one in stored
                if one.prefix == prefix
            ]
            behind = prefix
        best = _best(ranked, layout.pieces[at].ids, start, behind)
        if best is None:
            reasons[at] = _reason(stored, ranked)
        elif repair.alpha is not None and best[0] >= repair.full_threshold:
            reasons[at] = f"a CFO of {best[0]:.2f} is not below {repair.full_threshold:g}"
        else:
            chosen[at] = Chosen(at, start, best[1], best[0])
    return chosen, reasons


def _best(
    ranked: Sequence[tuple[float, Variant]], ids: Ids, start: int, prefix: str
) -> tuple[float, Variant] | None:
    """Return the best of the variants whose ids are those of the chunk; ids are compared last, as they nearly always fit."""
    ordered = sorted(ranked, key=lambda one: (one[0], one[1].generation, one[1].start != start, one[1].name))
    return next((one for one in ordered if one[1].prefix == prefix and _same(one[1].ids, ids)), None)


def _same(one: Ids, other: Ids) -> bool:
    return len(one) == len(other) and bool(np.equal(one, other).all())


def _reason(stored: Sequence[Variant], ranked: Sequence[tuple[float, Variant]]) -> str:
    if not stored:
        return "no variant is stored"
    return "the stored ids are others" if ranked else "its variants stood behind another prefix"
