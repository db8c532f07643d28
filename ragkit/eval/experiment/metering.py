"""What calls of language models took, as the model layer tells it: of cached ones, what they once took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ragkit.budget import Price
from ragkit.config import PartConfig
from ragkit.eval.results import ModelRecord, Spent
from ragkit.models.trace import Traced
from ragkit.protocols import LanguageModel

Made = TypeVar("Made")


class Metering:
    """Watches the language models that chunkers and enrichers make, and adds up their calls."""

    def __init__(self) -> None:
        self.trace: list[Traced] = []
        self._made: list[tuple[PartConfig, LanguageModel]] = []

    def made(self, part: PartConfig, model: LanguageModel) -> None:
        """Note that `model` was made from `part`, whose option `price` is its price."""
        self._made.append((part, model))

    def spent(self) -> Spent | None:
        """Return what all calls took, None without a call."""
        if not self.trace:
            return None
        prices = {model.name: price_of(part) for part, model in self._made}
        dollars: float | None = 0.0
        for call in self.trace:
            price = prices.get(call.model)
            priced = None if price is None else price.dollars(call.prompt_tokens, call.reply_tokens)
            dollars = None if priced is None or dollars is None else dollars + priced
        return Spent(
            calls=len(self.trace),
            from_cache=from_cache(self.trace),
            prompt_tokens=sum(call.prompt_tokens for call in self.trace),
            reply_tokens=sum(call.reply_tokens for call in self.trace),
            seconds=sum(call.seconds for call in self.trace),
            dollars=dollars,
        )


@dataclass(frozen=True, slots=True)
class MeteredModel:
    """A language model as results name it, and what its calls took so far."""

    model: LanguageModel
    record: ModelRecord
    metering: Metering

    @classmethod
    def of(cls, model: LanguageModel, part: PartConfig, metering: Metering) -> MeteredModel:
        """Return `model`, made from `part`; raise ModelError where it is not there."""
        price = price_of(part)
        known = ModelRecord(
            name=model.name,
            fingerprint=model.fingerprint,
            price=None if price is None else (price.input, price.output),
        )
        return cls(model, known, metering)

    def timed(self, call: Callable[[], Made], count: int) -> tuple[Made, float, int]:
        """Return what `call` returns, the mean seconds of its `count` prompts, and how many a cache answered.

        Models that do not tell are timed by the clock.
        """
        before, started = len(self.metering.trace), time.perf_counter()
        made = call()
        seconds = time.perf_counter() - started
        told = self.metering.trace[before:]
        if told:
            seconds = sum(one.seconds for one in told)
        return made, seconds / max(count, 1), from_cache(told)


def price_of(part: PartConfig) -> Price | None:
    """Return the price that the part's options name, in dollars per million tokens."""
    price = part.options.get("price")
    if price is None or isinstance(price, Price):
        return price
    return Price(**price)


def from_cache(trace: Sequence[Traced]) -> int:
    """Return how many calls a cache answered."""
    return sum(call.cached for call in trace)
