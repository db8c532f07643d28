"""The stored variants of one chunk, with what a choice among them is worked out from as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ragkit.cachecraft.core.variant import Variant

VARIANTS = np.dtype([("history", "i8"), ("prefix", "i8"), ("total", "f8"), ("cci", "f8")])
"""Of a variant: how many chunks its history has; the code of the prefix that it stood behind; the mass of all chunks, 0
where chunks are to be counted instead; the CCI, 1 where it is not known."""

HISTORIES = np.dtype([("code", "i8"), ("mass", "f8"), ("first", "?")])
"""Of a chunk in a history: its code; how much attention went to it; whether it stands there for the first time."""


class Shelf(tuple[Variant, ...]):
    """Variants of one chunk in the order given; `of` makes the tables, once for many requests.

    `variants` is a table of VARIANTS, `histories` one of HISTORIES, one history after another: as bytes, since joining
    those of twenty shelves takes a tenth of the time of joining arrays.
    """

    variants: bytes
    histories: bytes

    @classmethod
    def of(cls, variants: Iterable[Variant]) -> Shelf:
        """Return a shelf of these variants."""
        shelf = cls(variants)
        shelf.variants = np.array([_variant(one) for one in shelf], VARIANTS).tobytes()
        shelf.histories = np.array([entry for one in shelf for entry in _history(one)], HISTORIES).tobytes()
        return shelf


def shelved(variants: Sequence[Variant]) -> Shelf:
    """Return variants of one chunk as a shelf, which is what an index keeps them as."""
    return variants if isinstance(variants, Shelf) else Shelf.of(variants) if variants else NOTHING


def code(key: str) -> int:
    """Return 64 bits that stand for a key as long as the process runs; Python keeps them with the key.

    A false match, in one request of 10^15, makes an old context seem present that is not, so that less is repaired;
    ids and prefix, which have to be right, are compared in full by the choice.
    """
    return hash(key)


def _variant(one: Variant) -> tuple[int, int, float, float]:
    made = one.statistics
    total = made.inter_total if made and one.history else 0.0
    return len(one.history), code(one.prefix), total, made.cci if made else 1.0


def _history(one: Variant) -> list[tuple[int, float, bool]]:
    """Return the entries of a history; a sink's mass, behind theirs, is left out, as it cannot be lost."""
    masses = [] if one.statistics is None else one.statistics.inter.tolist()
    masses += [0.0] * (len(one.history) - len(masses))
    places: dict[str, int] = {}
    return [
        (code(key), mass, places.setdefault(key, place) == place)
        for place, (key, mass) in enumerate(zip(one.history, masses, strict=False))
    ]


NOTHING = Shelf.of(())
"""The shelf of a chunk of which nothing is stored."""
