"""Where a ranked list is cut before it is scored: after k units, or where a budget of tokens or characters is full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ragkit.errors import UsageError

CutoffKind = Literal["k", "tokens", "chars", "adaptive"]
KINDS: tuple[CutoffKind, ...] = ("k", "tokens", "chars", "adaptive")
BUDGETS: frozenset[CutoffKind] = frozenset({"k", "tokens", "chars"})


@dataclass(frozen=True, slots=True)
class Cutoff:
    """The first `size` units, or as many as fit into `size` tokens or characters.

    "adaptive" takes as many chunks as the corpus has chunks with evidence for the query, at most `size` where it is
    given (metrics.md 1.3). Prints as it is written: `5`, `tokens(400)`, `chars(2000)`, `adaptive()`.
    """

    kind: CutoffKind
    size: int | None = None

    def __post_init__(self) -> None:
        if self.size is None and self.kind == "adaptive":
            return
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise UsageError(
                f"A cut-off of {self.size!r} was given; a whole number of at least 1 was expected.",
                hint="Write for instance Recall@5 or Recall@tokens(400).",
            )

    def __str__(self) -> str:
        if self.kind == "k":
            return str(self.size)
        return f"{self.kind}({'' if self.size is None else self.size})"


def tokens(size: int) -> Cutoff:
    """Return the cut-off at `size` retrieved tokens: chunks in rank order until it would be exceeded, none cut."""
    return Cutoff("tokens", size)


def chars(size: int) -> Cutoff:
    """Return the cut-off at `size` retrieved characters: chunks in rank order until it would be exceeded, none cut."""
    return Cutoff("chars", size)


def adaptive(cap: int | None = None) -> Cutoff:
    """Return the cut-off at as many chunks as hold evidence in the whole corpus, at most `cap`."""
    return Cutoff("adaptive", cap)
