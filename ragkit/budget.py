"""Budgets as types: a limit that every spending stage accepts, and the meter that enforces and reports it by stage."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from ragkit.errors import BudgetExceededError, ConfigError

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens of prompt (`input`) and of reply (`output`), as providers list them."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    """Where a configuration gives a price, an unknown kind of it is refused."""

    input: float
    output: float

    def __post_init__(self) -> None:
        if not (0 <= self.input < math.inf and 0 <= self.output < math.inf):
            raise ConfigError(
                f"A price of {self.input} and {self.output} dollars per million tokens was given; expected 0 or more.",
                hint="Give, for instance, {input: 0.15, output: 0.6}.",
            )

    def dollars(self, prompt_tokens: int, reply_tokens: int) -> float:
        """Return what so many tokens cost.

        >>> Price(input=0.15, output=0.6).dollars(1_000_000, 500_000)
        0.45
        """
        return (prompt_tokens * self.input + reply_tokens * self.output) / _MILLION


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one run: model tokens, dollars, wall-clock seconds. None means no limit.

    Dollars are known of models with a `price` only; calls of others are counted as `unpriced`.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    """Where a configuration gives a budget, an unknown unit is refused."""

    tokens: int | None = None
    dollars: float | None = None
    seconds: float | None = None

    def meter(self) -> Meter:
        """Return a running meter; its clock starts now."""
        return Meter(self)


@dataclass(slots=True)
class StageSpending:
    """What one stage has spent; `tokens` is all of them, also where prompt and reply are not known apart.

    `cached` are calls answered from the disk cache: they cost nothing and are not among `calls`. `unpriced` are the
    calls of models without a price. `seconds` adds up calls that ran at the same time.
    """

    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    tokens: int = 0
    seconds: float = 0.0
    dollars: float = 0.0
    unpriced: int = 0


@dataclass(slots=True)
class _Spent:
    """What a meter and its views share."""

    tokens: int = 0
    dollars: float = 0.0
    started: float = field(default_factory=time.monotonic)
    stages: dict[str, StageSpending] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Meter:
    """Counts what was spent of a budget, by stage. Safe to share between threads.

    Raises BudgetExceededError from `spend` before a limit is passed, naming the stage.
    """

    __slots__ = ("_spent", "budget", "name")

    def __init__(self, budget: Budget) -> None:
        """Start the clock."""
        self.budget = budget
        self.name: str | None = None
        """The stage that everything is booked under (see `stage`); None: the one that the spender names."""
        self._spent = _Spent()

    def stage(self, name: str) -> Meter:
        """Return a view of this meter, with the same limits and sums, that books everything under `name`.

        >>> meter = Budget(tokens=10).meter()
        >>> meter.stage("summary").spend("generate", tokens=4)
        >>> meter.tokens, list(meter.report()["stages"])
        (4, ['summary'])
        """
        view = Meter.__new__(Meter)
        view.budget, view.name, view._spent = self.budget, name, self._spent
        return view

    @property
    def tokens(self) -> int:
        """All tokens spent."""
        return self._spent.tokens

    @property
    def dollars(self) -> float:
        """All dollars spent on models with a price."""
        return self._spent.dollars

    @property
    def seconds(self) -> float:
        """Wall-clock seconds since the meter was made."""
        return time.monotonic() - self._spent.started

    def spend(
        self,
        stage: str,
        *,
        tokens: int = 0,
        prompt_tokens: int = 0,
        reply_tokens: int = 0,
        calls: int = 0,
        cached: int = 0,
        dollars: float | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Record what `stage` is about to spend, or raise BudgetExceededError and record nothing.

        `tokens` are those not known to be of the prompt or the reply; all three are added. `dollars` is None where the
        model has no price, `seconds` what the calls took. Negative numbers give back what was reserved.
        """
        total = tokens + prompt_tokens + reply_tokens
        spent = StageSpending(calls, cached, prompt_tokens, reply_tokens, total, seconds, dollars or 0.0)
        spent.unpriced = calls if dollars is None else 0
        self._book(self.name or stage, spent, enforced=True)

    def record(
        self,
        stage: str,
        *,
        tokens: int = 0,
        prompt_tokens: int = 0,
        reply_tokens: int = 0,
        calls: int = 0,
        cached: int = 0,
        dollars: float | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Record what `stage` has spent already; never raises: what is paid for must not be lost. See `spend`."""
        total = tokens + prompt_tokens + reply_tokens
        spent = StageSpending(calls, cached, prompt_tokens, reply_tokens, total, seconds, dollars or 0.0)
        spent.unpriced = calls if dollars is None else 0
        self._book(self.name or stage, spent, enforced=False)

    def report(self) -> dict[str, Any]:
        """Return what was spent so far, by unit, and in "stages" a row for each stage (`StageSpending`)."""
        with self._spent.lock:
            stages = {name: asdict(row) for name, row in self._spent.stages.items()}
            for row in stages.values():
                row["seconds"] = round(row["seconds"], 6)
            return {
                "tokens": self.tokens,
                "dollars": self.dollars,
                "seconds": round(self.seconds, 6),
                "stages": stages,
            }

    def _book(self, stage: str, spent: StageSpending, *, enforced: bool) -> None:
        shared = self._spent
        with shared.lock:
            if enforced:
                self._check(stage, shared.tokens + spent.tokens, shared.dollars + spent.dollars)
            row = shared.stages.setdefault(stage, StageSpending())
            for unit in fields(StageSpending):
                setattr(row, unit.name, getattr(row, unit.name) + getattr(spent, unit.name))
            shared.tokens += spent.tokens
            shared.dollars += spent.dollars

    def _check(self, stage: str, tokens: int, dollars: float) -> None:
        wanted = {"tokens": tokens, "dollars": dollars, "seconds": self.seconds}
        for unit, value in wanted.items():
            limit = getattr(self.budget, unit)
            if limit is not None and value > limit:
                raise BudgetExceededError(
                    f"{stage} would bring the {unit} spent to {value:.6g}; the budget allows {limit:.6g}.",
                    hint=f"Raise the budget's {unit}, or select less.",
                )
