"""A budget of tokens for sentences, as a share of what the retriever's best hits would have cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.errors import ConfigError, UsageError
from ragkit.schema import Hit
from ragkit.selectors.fitting import Count


@dataclass(frozen=True, slots=True)
class Budget:
    """`share` of the tokens of the best `of` hits: never more than that, whatever the question."""

    share: float
    of: int = 5

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0 or self.of < 1:
            raise ConfigError(
                f"share is {self.share} and of {self.of}; expected above 0 and at most 1, and 1 or more.",
                hint="share: 0.5 and of: 5 spend at most half of the tokens of the best five hits.",
            )

    def tokens(self, ranked: Sequence[Hit], count: Count | None) -> int:
        """Return the budget for hits in order of rank; raise UsageError where there is nothing to count tokens with."""
        if count is None:
            raise UsageError(
                "A share of tokens was asked for, but the selector has no `count` to measure texts with.",
                hint="Make the selector with count=language_model.count, or give a policy and share=None.",
            )
        best = [hit.chunk.text for hit in ranked[: self.of]]
        return int(self.share * sum(count(best))) if best else 0

    def trace(self, tokens: int) -> dict[str, Any]:
        """Return the share, and what it came to."""
        return {"share": self.share, "of": self.of, "tokens": tokens}
