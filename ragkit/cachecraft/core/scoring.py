"""The CFO of every stored variant of every chunk of a prompt, all at once (Cache-Craft, eq. 6, 7, 8, 12).

To the last bit what `overlap` and `variant_cfo` give one by one: sums run in the order of the histories.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.overlap import kendall, known_share
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.shelf import HISTORIES, VARIANTS, Shelf, code

_SLOTS = 1_024
"""Slots of the table in which old chunks are looked up, a power of two; chunks that share one are found one by one."""

_PAIRS = 1 << 22
"""Entries of the largest table of pairs that is made: 400 variants, a hundred chunks of whose histories are there."""

_NOWHERE = np.int32(2**31 - 1)
"""Behind all places, so never out of order: what fills up a table."""


def cfo_of_all(
    shelves: Sequence[Shelf], keys: Sequence[str], lengths: Sequence[int], prefix: str, repair: Repair
) -> NDArray[np.float64]:
    """Return the CFO of each variant, shelf after shelf, shape (V,): at alpha 1 where none is given.

    `shelves` are those of a prompt's chunks in order, `keys` and `lengths` their keys and tokens. The CFO of what stood
    behind another prefix is infinite.
    """
    variants = np.frombuffer(b"".join([shelf.variants for shelf in shelves]), VARIANTS)
    histories = np.frombuffer(b"".join([shelf.histories for shelf in shelves]), HISTORIES)
    count, sizes = len(variants), variants["history"]
    before = np.repeat(np.arange(len(shelves)), [len(shelf) for shelf in shelves])  # so many chunks stand before it
    rows = np.repeat(np.arange(count), sizes)
    places = _places(histories["code"], np.array([code(key) for key in keys], np.int64), before[rows])
    there = places >= 0
    value = np.bincount(rows, there, count) / np.maximum(sizes, 1)
    value[(sizes == 0) & (before == 0)] = 1.0
    if repair.beta_mode != "count":
        total, lost = variants["total"], np.bincount(rows, np.where(there, 0.0, histories["mass"]), count)
        weighed = np.flatnonzero(total > 0)
        value[weighed] = np.maximum(1.0 - lost[weighed] / total[weighed], 0.0)
        if repair.beta_mode == "symmetric":
            value *= _known(shelves, keys, lengths)
        first = np.flatnonzero(there & histories["first"])
        value *= 1.0 - _out_of_order(places[first], rows[first], count)
    alpha = 1.0 if repair.alpha is None else repair.alpha
    ratios: NDArray[np.float64] = np.fmin(np.fmax(alpha * variants["cci"] * (1.0 - value), 0.0), 1.0)
    ratios[variants["prefix"] != code(prefix)] = np.inf
    return ratios


def _places(history: NDArray[np.int64], context: NDArray[np.int64], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where in the context each old chunk stands first, -1 where it is not among the first `before`.

    A table by the last bits of the codes: twice as fast as a binary search, of which no branch can be foreseen.
    """
    slots = context & (_SLOTS - 1)
    table = np.zeros(_SLOTS, np.int64)
    table[slots[::-1]] = np.arange(len(context))[::-1]  # of those that share a slot, the first has it
    at = table[history & (_SLOTS - 1)]
    places = np.where((context[at] == history) & (at < before), at, -1)
    for place in np.flatnonzero(context[table[slots]] != context).tolist()[::-1]:
        places[(history == context[place]) & (place < before)] = place
    return places


def _out_of_order(places: NDArray[np.int64], rows: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return gamma of each of `count` rows: the share of pairs of its places that do not ascend."""
    numbers = np.bincount(rows, minlength=count)
    width = int(numbers.max(initial=0))
    if width < 2:
        return np.zeros(count)
    ends = np.cumsum(numbers)
    if count * width * width > _PAIRS:
        return np.array([kendall(one.tolist()) for one in np.split(places, ends[:-1])])
    columns = np.arange(len(places)) - (ends - numbers)[rows]
    table = np.full((width, count), _NOWHERE)
    table[columns, rows] = places
    ascending = np.arange(width)[:, None] < np.arange(width)
    inverted = (table[:, None] > table) & ascending[:, :, None]
    gamma: NDArray[np.float64] = inverted.sum(axis=(0, 1), dtype=np.int32) / np.maximum(numbers * (numbers - 1) // 2, 1)
    return gamma


def _known(shelves: Sequence[Shelf], keys: Sequence[str], lengths: Sequence[int]) -> list[float]:
    """Return for each variant the share of the tokens before its chunk that stood in its history."""
    return [
        known_share(set(one.history), keys[:place], lengths[:place])
        for place, shelf in enumerate(shelves)
        for one in shelf
    ]
