"""One line on which all documents lie end to end, in characters or in tokens of the evaluation tokenizer.

A token belongs to a span if it overlaps it by at least one character (metrics.md 1.4), so that on the token axis a
span is again one interval, and every formula stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.metrics.geometry import Ints
from ragkit.eval.metrics.layout import Spans, SpansByDocument

Unit = Literal["chars", "tokens"]
LONGEST = 2**62
"""Largest position on an axis; beyond it 64-bit sums could overflow."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The line: document d begins at `offsets[d]`; with `token_starts` and `token_ends` its unit is the token."""

    offsets: Ints
    size: int
    token_starts: Ints | None = None
    token_ends: Ints | None = None

    def place(self, spans: Spans) -> tuple[Ints, Ints]:
        """Return start and end of each span on the line; every query has a line of its own, one after another."""
        start, end = self.place_once(spans.document, spans.start, spans.end)
        return start + spans.query * self.size, end + spans.query * self.size

    def place_once(self, document: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints]:
        """Return start and end of each span on one line that all queries share."""
        start, end = start + self.offsets[document], end + self.offsets[document]
        if self.token_starts is None or self.token_ends is None:
            return start, end
        first = np.searchsorted(self.token_ends, start, side="right")
        last = np.searchsorted(self.token_starts, end, side="left")
        return first, np.where(start == end, first, np.maximum(first, last))


def character_axis(extents: Ints, queries: int) -> Axis:
    """Return the line of documents of the given lengths; raise UsageError where it is too long for 64 bits."""
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(extents + 1)))
    size = int(offsets[-1])
    if float(np.sum(extents, dtype=np.float64)) * max(queries, 1) > LONGEST:
        raise UsageError(
            f"The spans reach over {np.sum(extents, dtype=np.float64):.3g} characters for {queries} queries; "
            f"at most {LONGEST:.3g} in all can be scored at once.",
            hint="Look for a span with a wrong offset, or score fewer queries at a time.",
        )
    return Axis(offsets, size)


def token_axis(characters: Axis, codes: Mapping[str, int], token_spans: SpansByDocument) -> Axis:
    """Return the line of the tokens of all documents in `codes`; raise UsageError for a document without an entry."""
    pieces = []
    for doc_id, code in codes.items():
        if doc_id not in token_spans:
            raise UsageError(
                f"There are no token spans for the document {doc_id!r}.",
                hint="Give token_spans for every document that is evidence or was retrieved, or score by characters.",
            )
        spans = np.asarray(token_spans[doc_id], np.int64).reshape(-1, 2)
        spans = spans[spans[:, 1] > spans[:, 0]]
        if (np.diff(spans, axis=0) < 0).any():
            raise UsageError(
                f"The token spans of the document {doc_id!r} are not in order.",
                hint="Give them as Tokenizer.offsets returns them for the whole text.",
            )
        pieces.append(spans + characters.offsets[code])
    every = np.concatenate([np.zeros((0, 2), np.int64), *pieces])
    return Axis(characters.offsets, len(every) + 1, every[:, 0], every[:, 1])
