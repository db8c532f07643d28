"""A document as the units that boundaries lie between: its sentences, those too long for a chunk divided further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ragkit.chunkers.packing import TokenView, pack
from ragkit.chunkers.sentences import sentence_starts
from ragkit.chunkers.spans import Span, skip_space, trim_end
from ragkit.schema import NO_METADATA, Document, Metadata


@dataclass(frozen=True, slots=True)
class Units:
    """The n units of a document: they cover its text, and white space belongs to the unit before it.

    `borders` has shape (n + 1,): where each unit starts, and the end of the text. `tokens`, of the same shape, counts
    the tokens before each border.
    """

    document: Document
    view: TokenView
    borders: NDArray[np.int64]
    tokens: NDArray[np.int64]

    @classmethod
    def of(cls, document: Document, view: TokenView) -> Units:
        """Return the units of `document`: sentences, divided at clauses or between words where one is too long."""
        borders = np.array(_borders(view), np.int64)
        return cls(document, view, borders, view.starts.searchsorted(borders))

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.borders) - 1

    @property
    def text(self) -> str:
        """The text of the document."""
        return self.view.text

    def unit(self, index: int) -> str:
        """Return the text of one unit, without the white space around it."""
        return self.text[self.borders[index] : self.borders[index + 1]].strip()

    def fit(self, first: int, last: int, tokens: int) -> bool:
        """Return whether the units `[first, last)` together have at most `tokens` tokens and fit into a chunk."""
        if self.tokens[last] - self.tokens[first] > tokens:
            return False
        start, end = int(self.borders[first]), int(self.borders[last])
        most = self.view.limits.max_characters
        return end - start <= most or trim_end(self.text, start, end) - skip_space(self.text, start, end) <= most

    def fit_chunk(self, first: int, last: int) -> bool:
        """Return whether the units `[first, last)` fit into a chunk."""
        return self.fit(first, last, self.view.size)

    def spans(self, pieces: Sequence[tuple[int, int]], metadata: Metadata = NO_METADATA) -> list[Span]:
        """Return the spans of pieces, each `[first, last)` in units, without the white space at their ends."""
        spans = []
        for first, last in pieces:
            start, end = int(self.borders[first]), int(self.borders[last])
            start = skip_space(self.text, start, end)
            if start < end:
                spans.append(Span(start, trim_end(self.text, start, end), metadata))
        return spans


def _borders(view: TokenView) -> list[int]:
    text = view.text
    first = skip_space(text, 0, len(text))
    if first == len(text):
        return [0]
    sentences = [0, *(start for start in sentence_starts(text) if start > first), len(text)]
    borders = [0]
    for start, end in pairwise(sentences):
        if view.fits(start, end):
            borders.append(end)
        else:
            parts = list(pack(view, start, end, clauses=True))
            borders += [*(part.start for part in parts[1:]), end]
    return borders
