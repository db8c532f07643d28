"""Which variant of each chunk serves a prompt: that of the least CFO (Cache-Craft, 2.6 of the specification)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ragkit.cachecraft.core.keys import beginning_keys, chunk_key, context_key
from ragkit.cachecraft.core.prompt import Ids, Kind, Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.scoring import cfo_of_all
from ragkit.cachecraft.core.shelf import Shelf, shelved
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
    stored = {at: shelved(candidates(keys[at])) for at in _pieces(layout, keys)}
    ratios = _ratios(layout, keys, stored, prefix, repair)
    again, exact = _recurring(layout, keys, repair, recurs), True
    chosen: dict[int, Chosen] = {}
    reasons: dict[int, str] = {}
    for at, own in stored.items():
        best = _best(own, ratios[at], prefix, layout, at) if at in ratios else _prefix(own, layout)
        if best is None:
            reasons[at] = _reason(own, prefix if at in ratios else "")
        elif repair.alpha is not None and best.cfo >= repair.full_threshold:
            reasons[at] = f"a CFO of {best.cfo:.2f} is not below {repair.full_threshold:g}"
        elif exact and not best.exact and at in again:
            reasons[at] = RECURS
        else:
            chosen[at] = best
            exact = exact and (best.exact or at not in ratios)
    return chosen, reasons


def _pieces(layout: Layout, keys: Mapping[int, str]) -> list[int]:
    """Return the pieces that keys were given for, in order: all chunks, and the prefix or not."""
    given, chunks = sorted(keys), list(layout.chunks)
    if given != chunks and (given != [0, *chunks] or not len(layout.prefix)):
        raise UsageError(
            f"Keys of the pieces {given} were given; expected those of all chunks, {chunks}, "
            "and of the prefix if there is one.",
            hint="chunk_keys makes them.",
        )
    return given


def _ratios(
    layout: Layout, keys: Mapping[int, str], stored: Mapping[int, Shelf], prefix: str, repair: Repair
) -> dict[int, list[float]]:
    """Return by chunk the CFO of each variant on its shelf; infinite for one that stood behind another prefix."""
    shelves = [stored[at] for at in layout.chunks]
    if not shelves:
        return {}
    lengths = [len(layout.pieces[at].ids) for at in layout.chunks]
    rest = iter(cfo_of_all(shelves, [keys[at] for at in layout.chunks], lengths, prefix, repair).tolist())
    return {at: list(islice(rest, len(stored[at]))) for at in layout.chunks}


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


def _prefix(stored: Shelf, layout: Layout) -> Chosen | None:
    """Return the best exact variant made at the very beginning: what may serve as a prefix, which is never repaired."""
    alone = [math.inf if one.history or one.start or one.generation else 0.0 for one in stored]
    return _best(stored, alone, "", layout, 0)


def _best(stored: Shelf, ratios: list[float], prefix: str, layout: Layout, at: int) -> Chosen | None:
    """Return the variant of the least of `ratios`, which are used up.

    Its ids are those of the piece, and it stood behind the prefix: compared last, as they nearly always fit.
    """
    start, ids = layout.spans[at].start, layout.pieces[at].ids
    while (least := min(ratios, default=math.inf)) < math.inf:
        place = ratios.index(least)
        if ratios.count(least) > 1:
            equal = (place for place, ratio in enumerate(ratios) if ratio == least)
            place = min(equal, key=lambda place: _rank(stored[place], start, layout))
        best = stored[place]
        if best.prefix == prefix and _same(best.ids, ids):
            return Chosen(at, start, best, least, stands_as_made(best, start, layout))
        ratios[place] = math.inf
    return None


def _rank(one: Variant, start: int, layout: Layout) -> tuple[int, bool, bool, str]:
    """Return what decides between equal CFOs."""
    return one.generation, one.start != start, not stands_as_made(one, start, layout), one.name


def _same(one: Ids, other: Ids) -> bool:
    """Return whether ids are equal; as bytes, which takes a tenth of the time of an array's comparison."""
    return one.tobytes() == other.tobytes() if one.dtype == other.dtype else np.array_equal(one, other)


def _reason(stored: Shelf, prefix: str) -> str:
    if not stored:
        return "no variant is stored"
    known = any(one.prefix == prefix for one in stored)
    return "the stored ids are others" if known else "its variants stood behind another prefix"
