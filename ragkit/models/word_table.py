"""Tokens of words, looked up instead of computed: natural text repeats its words, and a table is faster than a model.

Sound only for tokenizers that treat every whitespace-separated word on its own; `tokenizer.py` decides which those are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]

SAFE_SPACES = "\t\n\r \xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""Characters that end a word both for str.split and for BERT's normaliser."""

UNSAFE_SPACES = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"
"""str.isspace() holds, but BERT's normaliser deletes them as control characters: "a\\x0cb" is the one word "ab"."""

CAPACITY = 1 << 18
"""Words kept; English prose of 5 MB has 50,000 different ones. About 60 MB when full."""

LONGEST_TEXT = 1 << 14
"""Unknown words are joined to texts of this many characters, so that every core has some and call overhead is small."""


class Words(NamedTuple):
    """The words of a text: their strings and where they start, shape (n,)."""

    texts: list[str]
    starts: Offsets


def split_words(text: str) -> Words:
    """Return the words of `text`: maximal runs without a safe space, and every ideograph by itself."""
    if text.isascii():
        kinds = _ASCII[np.frombuffer(text.encode("ascii"), np.uint8)]
    else:
        kinds = _UNICODE[np.frombuffer(text.encode("utf-32-le"), np.uint32)]
    inside = np.zeros(len(kinds) + 2, np.bool_)
    np.not_equal(kinds, _SPACE, out=inside[1:-1])
    borders = inside[1:] != inside[:-1]
    if not text.isascii() and (alone := kinds == _IDEOGRAPH).any():
        return _split_ideographs(text, inside, borders, alone)
    edges = np.flatnonzero(borders)
    starts = edges[0::2]
    if any(character in text for character in UNSAFE_SPACES):
        return Words(_slices(text, starts, edges[1::2]), starts)
    return Words(text.split(), starts)


def is_safe_border(character: str) -> bool:
    """Return whether words end on both sides of `character`: a safe space or an ideograph."""
    return bool(_UNICODE[ord(character)])


def _split_ideographs(
    text: str, inside: NDArray[np.bool_], borders: NDArray[np.bool_], alone: NDArray[np.bool_]
) -> Words:
    borders[:-1] |= alone
    borders[1:] |= alone
    starts = np.flatnonzero(borders[:-1] & inside[1:-1])
    ends = np.flatnonzero(borders[1:] & inside[1:-1]) + 1
    return Words(_slices(text, starts, ends), starts)


def _slices(text: str, starts: Offsets, ends: Offsets) -> list[str]:
    return list(map(text.__getitem__, map(slice, starts.tolist(), ends.tolist())))


class WordTable:
    """Remembers the token offsets of words, relative to the word; grows to `CAPACITY` words, then starts afresh.

    `encode` returns the token offsets of texts, shape (tokens, 2) each.
    """

    __slots__ = ("_characters", "_encode", "_first", "_ids", "_spans")

    def __init__(self, encode: Callable[[Sequence[str]], list[Offsets]]) -> None:
        self._encode = encode
        self._ids: dict[str, int] = {}
        self._characters = 0
        self._first: Offsets = np.zeros(1, np.int64)
        self._spans: Offsets = np.zeros((0, 2), np.int64)

    def counts(self, text: str) -> tuple[Offsets, Offsets]:
        """Return for each word of `text` its start and its number of tokens, shape (words,) each."""
        words = split_words(text)
        ids = self._look_up(words.texts)
        return words.starts, self._first[ids + 1] - self._first[ids]

    def offsets(self, text: str) -> Offsets:
        """Return the token spans of `text`, shape (tokens, 2)."""
        words = split_words(text)
        ids = self._look_up(words.texts)
        first = self._first[ids]
        counts = self._first[ids + 1] - first
        before = np.cumsum(counts) - counts
        which = np.repeat(first - before, counts)
        which += np.arange(len(which))
        spans: Offsets = self._spans[which]
        spans += np.repeat(words.starts, counts)[:, None]
        return spans

    def _look_up(self, words: list[str]) -> Offsets:
        """Return the row of each word, after adding those that are new."""
        if len(self._ids) > CAPACITY or self._characters > 16 * CAPACITY:
            self._forget()
        new = list(set(words).difference(self._ids))
        if new:
            self._learn(new)
        return np.fromiter(map(self._ids.__getitem__, words), np.int64, len(words))

    def _learn(self, words: list[str]) -> None:
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        ends = np.cumsum(lengths + 1)
        groups = np.flatnonzero(np.diff(ends // LONGEST_TEXT)) + 1
        cuts = [0, *groups.tolist(), len(words)]
        texts = [" ".join(words[a:b]) for a, b in pairwise(cuts)]
        starts = ends - lengths - 1
        spans = [found + starts[cut] for found, cut in zip(self._encode(texts), cuts, strict=False)]
        flat = np.concatenate(spans)
        owner = np.searchsorted(starts, flat[:, 0], side="right") - 1
        counts = np.bincount(owner, minlength=len(words))
        known = len(self._ids)
        self._ids.update(zip(words, range(known, known + len(words)), strict=True))
        self._first = np.concatenate((self._first, self._first[-1] + np.cumsum(counts)))
        self._spans = np.concatenate((self._spans, flat - starts[owner][:, None]))
        self._characters += int(ends[-1])

    def _forget(self) -> None:
        self._ids, self._characters = {}, 0
        self._first, self._spans = self._first[:1], self._spans[:0]


def _kinds() -> NDArray[np.uint8]:
    """Return for every code point whether it is a space, an ideograph that BERT always isolates, or neither."""
    table = np.zeros(0x110000, np.uint8)
    table[[ord(character) for character in SAFE_SPACES]] = _SPACE
    for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x2A6DF)):
        table[first : last + 1] = _IDEOGRAPH
    return table


_SPACE, _IDEOGRAPH = 1, 2
_UNICODE = _kinds()
_ASCII = _UNICODE[:256]
