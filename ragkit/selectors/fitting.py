"""What fits the prompt: hits taken one by one in the order a selector prefers them, within a limit of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ragkit.errors import UsageError
from ragkit.schema import Dropped, Hit, Selection

Count = Callable[[Sequence[str]], list[int]]
"""Counts the tokens of texts as the answering model does."""


@dataclass(slots=True)
class Fitting:
    """A selection being filled. A hit that does not fit is dropped and the next one tried: it may be shorter."""

    costs: dict[str, int]
    limit: int | None
    kept: list[Hit] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    tokens: int = 0

    @classmethod
    def of(cls, hits: Sequence[Hit], limit: int | None, count: Count | None) -> tuple[Fitting, list[Hit]]:
        """Return an empty fitting and the hits in order of rank, each chunk once (repetitions are dropped).

        Raises UsageError where there is a limit but nothing to count tokens with.
        """
        if limit is not None and count is None:
            raise UsageError(
                "A limit of tokens was given, but the selector has no `count` to measure texts with.",
                hint="Make the selector with count=language_model.count.",
            )
        first: dict[str, Hit] = {}
        repeated = []
        for hit in sorted(hits, key=lambda hit: (hit.rank, hit.chunk_id)):
            if first.setdefault(hit.chunk_id, hit) is not hit:
                repeated.append(Dropped(hit, "the same chunk stands higher in the list"))
        unique = list(first.values())
        counts = count([hit.chunk.text for hit in unique]) if count is not None and unique else [0] * len(unique)
        costs = {hit.chunk_id: cost for hit, cost in zip(unique, counts, strict=True)}
        return cls(costs, limit, dropped=repeated), unique

    def fits(self, hit: Hit) -> bool:
        """Return whether `hit` still fits."""
        return self.limit is None or self.tokens + self.costs[hit.chunk_id] <= self.limit

    def take(self, hit: Hit) -> bool:
        """Keep `hit` if it fits, else drop it with the numbers; return whether it was kept."""
        cost = self.costs[hit.chunk_id]
        if not self.fits(hit):
            reason = f"needs {cost} tokens; {self.tokens} of the limit of {self.limit} are taken"
            self.drop(hit, reason)
            return False
        self.kept.append(hit)
        self.tokens += cost
        return True

    def drop(self, hit: Hit, reason: str) -> None:
        """Leave `hit` out."""
        self.dropped.append(Dropped(hit, reason))

    def selection(self) -> Selection:
        """Return what was kept, in the order taken, and what was dropped."""
        return Selection(tuple(self.kept), tuple(self.dropped), self.tokens)
