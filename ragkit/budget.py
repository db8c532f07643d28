"""Budgets as types: a limit that every spending stage accepts, and the meter that enforces and reports it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ragkit.errors import BudgetExceededError


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one run: model tokens, dollars, wall-clock seconds. None means no limit."""

    tokens: int | None = None
    dollars: float | None = None
    seconds: float | None = None

    def meter(self) -> Meter:
        """Return a running meter; its clock starts now."""
        return Meter(self)


@dataclass(slots=True)
class Meter:
    """Counts what was spent of a budget.

    Raises BudgetExceededError from `spend` before a limit is passed, naming the stage.
    """

    budget: Budget
    tokens: int = 0
    dollars: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds since the meter was made."""
        return time.monotonic() - self.started

    def spend(self, stage: str, *, tokens: int = 0, dollars: float = 0.0) -> None:
        """Record what `stage` is about to spend, or raise BudgetExceededError and record nothing."""
        wanted = {"tokens": self.tokens + tokens, "dollars": self.dollars + dollars, "seconds": self.seconds}
        for unit, value in wanted.items():
            limit = getattr(self.budget, unit)
            if limit is not None and value > limit:
                raise BudgetExceededError(
                    f"{stage} would bring the {unit} spent to {value:.6g}; the budget allows {limit:.6g}.",
                    hint=f"Raise the budget's {unit}, or select less.",
                )
        self.tokens += tokens
        self.dollars += dollars

    def report(self) -> dict[str, float]:
        """Return what was spent so far, by unit."""
        return {"tokens": self.tokens, "dollars": self.dollars, "seconds": round(self.seconds, 6)}
