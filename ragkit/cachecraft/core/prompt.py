"""A prompt as pieces of token ids: what is a chunk, and where each one stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import UsageError

Ids = NDArray[np.int32]
"""Token ids, shape (n,)."""

Positions = NDArray[np.int64]
"""Token positions in a prompt, ascending, shape (n,)."""


class Kind(StrEnum):
    """What a piece is: the system prefix (first, at most one), a chunk, glue between chunks, or the question (last)."""

    PREFIX = "prefix"
    CHUNK = "chunk"
    GLUE = "glue"
    QUESTION = "question"


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens that belong together; pieces are tokenised one by one, so that no token crosses a border."""

    kind: Kind
    ids: Ids


class Span(NamedTuple):
    """Positions `[start, end)` of a prompt."""

    start: int
    end: int


@dataclass(frozen=True)
class Layout:
    """The pieces of one prompt in order.

    Raises UsageError unless the question is last and not empty, and a prefix, if any, is first: a question before the
    chunks would make every chunk's keys depend on it.
    """

    pieces: tuple[Piece, ...]
    borders: int = 0
    """Places at which the tokens are not those of the joined text, as the model without chunk reuse reads it."""

    def __post_init__(self) -> None:
        kinds = [piece.kind for piece in self.pieces]
        if not kinds or kinds[-1] is not Kind.QUESTION or kinds.count(Kind.QUESTION) != 1 or not len(self.question):
            raise UsageError(
                f"A prompt of the pieces {[str(kind) for kind in kinds]} was given; expected one question, at the end.",
                hint="Put the question last: keys and values of whatever stands after it would depend on it.",
            )
        if Kind.PREFIX in kinds[1:]:
            raise UsageError("A system prefix was given after other pieces.", hint="Put the prefix first.")

    @property
    def question(self) -> Ids:
        """The question's token ids, all that comes after the last chunk included."""
        return self.pieces[-1].ids

    @cached_property
    def ids(self) -> Ids:
        """All token ids, shape (P,)."""
        return np.concatenate([piece.ids for piece in self.pieces]).astype(np.int32, copy=False)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Where each piece stands, parallel to `pieces`."""
        borders = accumulate((len(piece.ids) for piece in self.pieces), initial=0)
        return tuple(Span(start, end) for start, end in pairwise(borders))

    @cached_property
    def chunks(self) -> tuple[int, ...]:
        """The indices of the pieces that are chunks and not empty, in order; a chunk may stand there twice."""
        return tuple(at for at, piece in enumerate(self.pieces) if piece.kind is Kind.CHUNK and len(piece.ids))

    @property
    def context_tokens(self) -> int:
        """The tokens of all chunks: what the repair share r is a share of."""
        return sum(len(self.pieces[at].ids) for at in self.chunks)

    @property
    def prefix(self) -> Ids:
        """The system prefix, empty where there is none."""
        first: Sequence[Piece] = self.pieces[:1]
        return first[0].ids if first[0].kind is Kind.PREFIX else np.zeros(0, np.int32)
