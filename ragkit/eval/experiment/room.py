"""How many tokens the sources of a prompt may have: what the model's window leaves, and no more than wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ragkit.answering.prompt import source_limit
from ragkit.eval.experiment.metering import MeteredModel


@dataclass(frozen=True, slots=True)
class Room:
    """The room in the prompts of one system: `budget` is in tokens of the answering model, None: its window."""

    metered: MeteredModel
    max_tokens: int
    budget: int | None = None

    def limit(self, question: str) -> int:
        """Return the most tokens of sources for `question`; raise ModelError where the question leaves none."""
        left = source_limit(self.metered.model, question, self.max_tokens)
        return left if self.budget is None else min(left, self.budget)

    def key(self) -> list[Any]:
        """Return what selections depend on."""
        return [self.metered.model.fingerprint, self.max_tokens, self.budget or 0]
