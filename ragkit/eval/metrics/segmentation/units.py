"""Units of a text (its lines or its sentences), and cuts anywhere in the text as positions between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ragkit.chunkers.sentences import split_sentences
from ragkit.errors import UsageError

Span = tuple[int, int]
UnitKind = Literal["lines", "sentences"]
_VISIBLE = re.compile(r"\S")


@dataclass(frozen=True, slots=True)
class Placed:
    """Cuts as positions 1..n-1 between n units, in order, each once.

    `inside` counts the cuts that stood within a unit, with visible text of it on both sides, and were moved to its
    nearer end; `lost` those that fell on another cut's position or on an end of the text.
    """

    positions: tuple[int, ...]
    inside: int
    lost: int


def units_of(text: str, kind: UnitKind) -> list[Span]:
    r"""Return the spans of the lines or sentences of `text` that hold something visible, without white space around.

    >>> units_of("One fish.\n\n Two fish. Red fish.", "lines")
    [(0, 9), (12, 31)]
    """
    found = _lines(text) if kind == "lines" else iter(split_sentences(text))
    trimmed = ((start + len(text[start:end]) - len(text[start:end].lstrip()), end) for start, end in found)
    return [(start, start + len(text[start:end].rstrip())) for start, end in trimmed if start < end]


def placed(cuts: Sequence[int], units: Sequence[Span]) -> Placed:
    """Return the position of every cut (an offset in code points): before the unit whose start is nearest.

    A cut in the white space before a unit is at its start. One inside a unit goes to the start of that unit or of the
    next, whichever is nearer, to the earlier where both are as near. Cuts at the ends of the text are no boundaries.
    Raises UsageError without units.

    >>> placed([0, 8, 10, 14, 40], units=[(0, 9), (10, 19), (20, 40)])
    Placed(positions=(1,), inside=2, lost=4)
    """
    if not units:
        raise UsageError("There are no units to place boundaries between.", hint="Give the sentences of the text.")
    count = len(units)
    starts = np.array([start for start, _ in units] + [units[-1][1]], np.int64)
    ends = np.array([end for _, end in units], np.int64)
    wanted = np.array(cuts, np.int64)
    own = np.clip(np.searchsorted(starts, wanted, side="right") - 1, 0, count - 1)
    within = (wanted > starts[own]) & (wanted < ends[own])
    nearer = np.where(wanted - starts[own] <= starts[own + 1] - wanted, own, own + 1)
    at = np.where(within, nearer, np.where(wanted >= ends[own], own + 1, own))
    positions = sorted({int(position) for position in at if 0 < position < count})
    return Placed(tuple(positions), int(within.sum()), len(wanted) - len(positions))


def cuts_of(segments: Sequence[Span], text: str) -> list[int]:
    """Return where segments of `text` begin, and where they end: the borders of annotated topics.

    A border in white space is that of the visible text after it, so the end of a segment and the start of the next are
    one. Segments may overlap, repeat or leave gaps; of a plain partition these are the starts, and the end of the text.

    >>> cuts_of([(0, 4), (5, 9)], "One. Two. Three.")
    [0, 5, 10]
    """
    places = {place for span in segments for place in span}
    return sorted({found.start() if (found := _VISIBLE.search(text, place)) else len(text) for place in places})


def _lines(text: str) -> Iterator[Span]:
    start = 0
    for line in text.split("\n"):
        yield start, start + len(line)
        start += len(line) + 1
