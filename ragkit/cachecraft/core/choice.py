"""Which variant of each chunk serves a prompt: that of the least CFO (Cache-Craft, 2.6 of the specification)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ragkit.cachecraft.core.keys import chunk_key, context_key
from ragkit.cachecraft.core.offset import variant_cfo
from ragkit.cachecraft.core.overlap import Context, overlap_with
from ragkit.cachecraft.core.prompt import Ids, Kind, Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import Variant
from ragkit.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The variant that serves a piece, whose first token stands at `start`; its CFO, at alpha 1 where none is given.

    `exact` where it stands as it did when it was made, behind the same ids, and those were computed exactly: then
    there is nothing to repair. A CFO of 0 says less: other chunks may have come in between (pitfall 2).
    """

    piece: int
    start: int
    variant: Variant
    cfo: float
    exact: bool = False


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
    order = dict.fromkeys(layout.chunks)
    pieces = [at for at in keys if at in order or (at == 0 and len(layout.prefix))]
    if len(pieces) < len(keys) or not keys.keys() >= order.keys():
        raise UsageError(
            f"Keys of the pieces {sorted(keys)} were given; expected those of all chunks, {list(order)}, "
            "and of the prefix if there is one.",
            hint="chunk_keys makes them.",
        )
    context, mode = Context(), repair.beta_mode
    alpha = 1.0 if repair.alpha is None else repair.alpha
    chosen: dict[int, Chosen] = {}
    reasons: dict[int, str] = {}
    for at in sorted(pieces):
        stored = candidates(keys[at])
        usable = _behind(stored, prefix) if at in order else _alone(stored)
        if at in order:
            ratios = [variant_cfo(one, overlap_with(one, context, mode), alpha) for one in usable]
        else:
            ratios = [0.0] * len(usable)
        best = _best(usable, ratios, layout, at)
        if best is None:
            reasons[at] = _reason(stored, usable)
        elif repair.alpha is not None and best.cfo >= repair.full_threshold:
            reasons[at] = f"a CFO of {best.cfo:.2f} is not below {repair.full_threshold:g}"
        else:
            chosen[at] = replace(best, exact=stands_as_made(best.variant, best.start, layout))
        if at in order:
            context.add(keys[at], len(layout.pieces[at].ids))
    return chosen, reasons


def stands_as_made(variant: Variant, start: int, layout: Layout) -> bool:
    """Return whether a variant is exactly what would be computed from `start` on: behind the same ids, computed whole.

    The same chunks before it are not enough: labels between them may be others of the same length.
    """
    return (
        variant.generation == 0
        and variant.start == start
        and bool(variant.context)
        and variant.context == context_key(layout.ids[:start])
    )


def _behind(stored: Sequence[Variant], prefix: str) -> list[Variant]:
    """Return the variants that were made behind that prefix."""
    return [one for one in stored if one.prefix == prefix]


def _alone(stored: Sequence[Variant]) -> list[Variant]:
    """Return the exact variants made at the very beginning: what may serve as a prefix, which is never repaired."""
    return [one for one in stored if not (one.prefix or one.history or one.start or one.generation)]


def _best(usable: Sequence[Variant], ratios: Sequence[float], layout: Layout, at: int) -> Chosen | None:
    """Return the best variant whose ids are those of the piece; ids are compared last, as they nearly always fit."""
    start, ids = layout.spans[at].start, layout.pieces[at].ids
    left = list(zip(ratios, usable, strict=True))
    while left:
        least = min([ratio for ratio, _ in left])
        equal = [one for ratio, one in left if ratio == least]
        best = (
            equal[0] if len(equal) == 1 else min(equal, key=lambda one: (one.generation, one.start != start, one.name))
        )
        if _same(best.ids, ids):
            return Chosen(at, start, best, least)
        left = [pair for pair in left if pair[1] is not best]
    return None


def _same(one: Ids, other: Ids) -> bool:
    """Return whether ids are equal; as bytes, which takes a tenth of the time of an array's comparison."""
    return one.tobytes() == other.tobytes() if one.dtype == other.dtype else np.array_equal(one, other)


def _reason(stored: Sequence[Variant], usable: Sequence[Variant]) -> str:
    if not stored:
        return "no variant is stored"
    return "the stored ids are others" if usable else "its variants stood behind another prefix"
