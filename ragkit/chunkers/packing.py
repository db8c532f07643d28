"""Filling chunks up to a limit: one view of a tokenised text, one greedy rule."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragkit.chunkers.spans import Span, cut_position, next_word, skip_space, trim_end
from ragkit.errors import ConfigError
from ragkit.identity import content_hash
from ragkit.protocols import Tokenizer

SMALLEST = 8
"""Fewest tokens a chunk may be limited to; a single character can take five tokens of a byte-level vocabulary."""

CHARACTERS_PER_TOKEN = 12
"""Default cap of characters for each token of the limit; English has 4 to 5, and a word of 300,000 letters 1."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What no chunk exceeds: tokens, characters (0 means 12 a token); neighbours share at most `overlap` tokens.

    Raises ConfigError for a size below 8, an overlap outside [0, size) or a character cap below the size.
    """

    size: int
    overlap: int = 0
    max_characters: int = 0

    def __post_init__(self) -> None:
        if self.size < SMALLEST:
            raise ConfigError(f"size is {self.size}; expected at least {SMALLEST} tokens.", hint="Raise size.")
        if not 0 <= self.overlap < self.size:
            raise ConfigError(
                f"overlap is {self.overlap}; expected at least 0 and less than size, which is {self.size}.",
                hint="Lower overlap or raise size.",
            )
        if self.max_characters == 0:
            object.__setattr__(self, "max_characters", CHARACTERS_PER_TOKEN * self.size)
        if self.max_characters < self.size:
            raise ConfigError(
                f"max_characters is {self.max_characters}; expected 0 (automatic) or at least size, {self.size}.",
                hint="Raise max_characters.",
            )

    def fingerprint(self, name: str, tokenizer: Tokenizer, version: int) -> str:
        """Return what identifies the chunker `name` that has these limits and no other option."""
        return content_hash(
            "chunker",
            name=name,
            version=version,
            tokenizer=tokenizer.fingerprint,
            size=self.size,
            overlap=self.overlap,
            max_characters=self.max_characters,
        )


@dataclass(frozen=True, slots=True)
class TokenView:
    """A text with where its tokens start and end, shape (n,) each, and the limits to fill.

    `size` is `limits.size`, or a little less where tokens depend on their context and a piece may count more alone.
    """

    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    limits: Limits
    size: int

    @classmethod
    def of(cls, text: str, offsets: NDArray[np.int64], limits: Limits, margin: int = 0) -> TokenView:
        """Return the view of `text`, whose token spans are `offsets`, shape (n, 2)."""
        starts, ends = np.ascontiguousarray(offsets[:, 0]), np.ascontiguousarray(offsets[:, 1])
        return cls(text, starts, ends, limits, limits.size - margin)

    def reach(self, start: int) -> int:
        """Return the last position where a chunk that begins at `start` may end."""
        last = int(self.ends.searchsorted(start, "right")) + self.size
        end = int(self.starts[last]) if last < len(self.starts) else len(self.text)
        return min(end, start + self.limits.max_characters)

    def count(self, start: int, end: int) -> int:
        """Return the number of tokens that touch `[start, end)`."""
        return int(self.starts.searchsorted(end) - self.ends.searchsorted(start, "right"))

    def fits(self, start: int, end: int) -> bool:
        """Return whether `[start, end)` can be one chunk."""
        return end <= self.reach(start)

    def back(self, end: int, tokens: int) -> int:
        """Return where the last `tokens` tokens before `end` begin."""
        first = int(self.starts.searchsorted(end)) - tokens
        return int(self.starts[max(first, 0)]) if len(self.starts) else end


def pack(
    view: TokenView,
    start: int,
    end: int,
    borders: Sequence[int] | None = None,
    *,
    clauses: bool = False,
    resume: Sequence[int] | None = None,
) -> Iterator[Span]:
    """Yield spans that cover `[start, end)` but for whitespace, each as full as the limits and `borders` allow.

    A span ends at the last of `borders` (ascending) that it can reach; where there is none, at the best place for a
    cut (`cut_position`). With an overlap, a span begins at the first position of `resume` (default: `borders`; without
    both: word) in the last `overlap` tokens before the end of its predecessor, unless it would then not get past it.
    """
    text = view.text
    at = skip_space(text, start, end)
    done = at
    while at < end:
        stop = _stop(view, at, end, borders, clauses)
        last = trim_end(text, at, stop)
        if last <= done and at < done:  # the overlap left no room for anything new
            at = done = skip_space(text, done, end)
            continue
        yield Span(at, last)
        done = last
        following = skip_space(text, stop, end)
        at = following if following >= end else _restart(view, at, stop, following, resume or borders)


def _stop(view: TokenView, at: int, end: int, borders: Sequence[int] | None, clauses: bool) -> int:
    limit = view.reach(at)
    if limit >= end:
        return end
    if borders and (index := bisect_right(borders, limit)) and borders[index - 1] > at:
        return borders[index - 1]
    return cut_position(view.text, at, limit, clauses=clauses)


def _restart(view: TokenView, at: int, stop: int, following: int, borders: Sequence[int] | None) -> int:
    """Return where the next span begins: within the last tokens before `stop`, or at `following`."""
    overlap = view.limits.overlap
    if not overlap:
        return following
    earliest = max(view.back(stop, overlap), at + 1)
    if borders is not None:
        index = bisect_left(borders, earliest)
        shared = borders[index] if index < len(borders) else stop
    else:
        shared = next_word(view.text, earliest, stop)
    shared = skip_space(view.text, shared, stop)
    return shared if shared < stop else following
