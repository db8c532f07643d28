"""Which variant of each chunk serves a prompt: that of the least CFO (Cache-Craft, 2.6 of the specification)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.cachecraft.core.keys import beginning_keys, chunk_key, context_key
from ragkit.cachecraft.core.offset import cfo
from ragkit.cachecraft.core.overlap import Context, beta_with, kendall
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


Recurs = Callable[[str, str, float], bool]
"""Of a chunk's key, the key of the prompt up to the chunk's end and the share repaired: whether it comes so often that
computing the chunk whole once, and so exactly, costs less than repairing it each time."""

RECURS = "prompts often begin like this: it is computed exactly, once"


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
    *,
    recurs: Recurs | None = None,
) -> tuple[dict[int, Chosen], dict[int, str]]:
    """Return by piece the variant of least CFO, and for the other pieces of `keys` why there is none.

    A variant that was made behind another prefix than `prefix`, or of other ids, is no candidate. Among equal CFOs the
    least generation wins, then one that does not move, then an exact one, then the first name: where an exact one is
    stored, it serves. Where all before a chunk is exact and no exact variant of it is stored, `recurs` is asked whether
    to compute it rather than to repair another. Raises UsageError where a chunk has no key.
    """
    order = dict.fromkeys(layout.chunks)
    pieces = [at for at in keys if at in order or (at == 0 and len(layout.prefix))]
    if len(pieces) < len(keys) or not keys.keys() >= order.keys():
        raise UsageError(
            f"Keys of the pieces {sorted(keys)} were given; expected those of all chunks, {list(order)}, "
            "and of the prefix if there is one.",
            hint="chunk_keys makes them.",
        )
    context, exact = Context(), True
    again = _recurring(layout, keys, repair, recurs)
    chosen: dict[int, Chosen] = {}
    reasons: dict[int, str] = {}
    for at in sorted(pieces):
        stored = candidates(keys[at])
        usable = [one for one in stored if one.prefix == prefix] if at in order else _alone(stored)
        best = _best(usable, layout, at, context, repair)
        if best is None:
            reasons[at] = _reason(stored, usable)
        elif repair.alpha is not None and best.cfo >= repair.full_threshold:
            reasons[at] = f"a CFO of {best.cfo:.2f} is not below {repair.full_threshold:g}"
        elif exact and not best.exact and at in again:
            reasons[at] = RECURS
        else:
            chosen[at] = best
            exact = exact and (best.exact or at not in order)
        if at in order:
            context.add(keys[at], len(layout.pieces[at].ids))
    return chosen, reasons


def _recurring(layout: Layout, keys: Mapping[int, str], repair: Repair, recurs: Recurs | None) -> set[int]:
    """Return the chunks that are worth computing exactly; every beginning of the prompt is counted."""
    if recurs is None:
        return set()
    share = repair.share if repair.alpha is None else 0.0
    ends = beginning_keys(layout.ids, [layout.spans[at].end for at in layout.chunks])
    return {at for at, end in zip(layout.chunks, ends, strict=True) if recurs(keys[at], end, share)}


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


def _alone(stored: Sequence[Variant]) -> list[Variant]:
    """Return the exact variants made at the very beginning: what may serve as a prefix, which is never repaired."""
    return [one for one in stored if not (one.prefix or one.history or one.start or one.generation)]


def _best(usable: Sequence[Variant], layout: Layout, at: int, context: Context, repair: Repair) -> Chosen | None:
    """Return the best variant whose ids are those of the piece; ids are compared last, as they nearly always fit."""
    start, ids = layout.spans[at].start, layout.pieces[at].ids
    left = list(usable)
    while left:
        ratio, equal = _least_cfo(left, context, repair)
        best = equal[0] if len(equal) == 1 else min(equal, key=lambda one: _rank(one, start, layout))
        if _same(best.ids, ids):
            return Chosen(at, start, best, ratio, stands_as_made(best, start, layout))
        left.remove(best)
    return None


def _least_cfo(usable: Sequence[Variant], context: Context, repair: Repair) -> tuple[float, list[Variant]]:
    """Return the least CFO, at alpha 1 where none is given, and the variants that have it.

    How far chunks are out of order (gamma) only raises the CFO: it is counted where beta alone does not rule one out.
    """
    alpha = 1.0 if repair.alpha is None else repair.alpha
    least, equal = math.inf, list[Variant]()
    for one in usable:
        cci = 1.0 if one.statistics is None else one.statistics.cci
        beta, shared = beta_with(one, context, repair.beta_mode)
        if cfo(cci, beta, alpha) > least:
            continue
        ratio = cfo(cci, beta * (1.0 - kendall(shared)), alpha)
        if ratio < least:
            least, equal = ratio, [one]
        elif ratio == least:
            equal.append(one)
    return least, equal


def _rank(one: Variant, start: int, layout: Layout) -> tuple[int, bool, bool, str]:
    """Return what decides between equal CFOs."""
    return one.generation, one.start != start, not stands_as_made(one, start, layout), one.name


def _same(one: Ids, other: Ids) -> bool:
    """Return whether ids are equal; as bytes, which takes a tenth of the time of an array's comparison."""
    return one.tobytes() == other.tobytes() if one.dtype == other.dtype else np.array_equal(one, other)


def _reason(stored: Sequence[Variant], usable: Sequence[Variant]) -> str:
    if not stored:
        return "no variant is stored"
    return "the stored ids are others" if usable else "its variants stood behind another prefix"
