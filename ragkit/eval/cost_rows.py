"""What model calls cost, as rows of a table: answers, judge and index apart, in all and for each question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ragkit.eval.results import SetResult, Spent, SystemRun

NOT_PRICED = "not priced"
HEADER = (
    *("system", "calls for", "calls", "from cache", "prompt tokens", "reply tokens", "tokens a question"),
    *("seconds a question", "dollars", "dollars a question"),
)
NOTE = (
    "What it would take to do it again: calls that a cache answered are counted as if they had been made. Index-time "
    "cost is spread over the questions of this set; the judge's is no cost of a system. Seconds are the "
    "model's; calls that ran at the same time add up."
)


@dataclass(frozen=True, slots=True)
class CostRow:
    """One kind of calls of one system."""

    system: str
    phase: str
    spent: Spent
    questions: int

    def cells(self) -> list[str]:
        """Return the row under `HEADER`."""
        spent, questions = self.spent, max(self.questions, 1)
        tokens = (spent.prompt_tokens + spent.reply_tokens) / questions
        return [
            self.system,
            self.phase,
            f"{spent.calls:,}",
            f"{spent.from_cache:,}",
            f"{spent.prompt_tokens:,}",
            f"{spent.reply_tokens:,}",
            f"{tokens:,.0f}",
            f"{spent.seconds / questions:.3g}",
            NOT_PRICED if spent.dollars is None else f"{spent.dollars:.4g}",
            NOT_PRICED if spent.dollars is None else f"{spent.dollars / questions:.3g}",
        ]


def cost_rows(part: SetResult) -> list[CostRow]:
    """Return the rows of all systems that called a model."""
    return [
        CostRow(run.system, phase, run.cost[phase], len(part.queries))
        for run in part.runs
        for phase in ("answers", "selection", "index", "judge")
        if phase in run.cost
    ]


def per_question(run: SystemRun, unit: str, questions: int) -> float | None:
    """Return what one question costs with its share of the index, the judge left out; None where it is not known.

    `unit` is "tokens", "seconds" (of answers alone) or "dollars".
    """
    values = list(_values(run, unit))
    if not values or None in values or not questions:
        return None
    return sum(value for value in values if value is not None) / questions


def _values(run: SystemRun, unit: str) -> Iterator[float | None]:
    for phase in ("answers", "selection", "index"):
        spent = run.cost.get(phase)
        if spent is None:
            continue
        if unit == "tokens":
            yield spent.prompt_tokens + spent.reply_tokens
        elif unit == "dollars":
            yield spent.dollars
        elif phase != "index":
            yield spent.seconds
