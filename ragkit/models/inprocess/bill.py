"""The budget of requests that run at the same time: each is reserved before it is sent and settled afterwards."""

from __future__ import annotations

from ragkit.budget import Meter, Price
from ragkit.errors import BudgetExceededError


class Bill:
    """What one bulk call may spend of `meter`; None for no limit. Used in one thread.

    A request that the budget does not cover waits while others are under way, because they mostly use less than was
    reserved; alone, it gets a shorter reply. So limits hold, and replies are not cut for requests beside them.
    """

    def __init__(self, stage: str, meter: Meter | None, price: Price | None) -> None:
        """Book under `stage`."""
        self.stage = stage
        self._meter = meter
        self._price = price

    def check(self) -> None:
        """Raise BudgetExceededError where the budget's time is over."""
        if self._meter is not None:
            self._meter.spend(self.stage, dollars=0.0)

    def reserve(self, prompt_tokens: int, max_tokens: int, others: bool) -> int | None:
        """Return how many tokens the reply may have, None to wait for the `others` under way.

        Raises BudgetExceededError where nothing is under way and not even one token is left.
        """
        if self._meter is None:
            return max_tokens
        room = max_tokens
        if self._meter.budget.tokens is not None:
            room = min(room, self._meter.budget.tokens - self._meter.tokens - prompt_tokens)
        if others and room < max_tokens:
            return None
        room = max(room, 1)  # one token more than there is makes `spend` say what is missing
        try:
            self._meter.spend(
                self.stage, prompt_tokens=prompt_tokens, reply_tokens=room, dollars=self._dollars(prompt_tokens, room)
            )
        except BudgetExceededError:
            if others:
                return None
            raise
        return room

    def settle(self, reserved: int, used: int, seconds: float) -> None:
        """Book the reply's `used` tokens instead of the `reserved` ones, and the call itself."""
        if self._meter is not None:
            self._meter.record(
                self.stage,
                reply_tokens=used - reserved,
                calls=1,
                dollars=self._dollars(0, used - reserved),
                seconds=seconds,
            )

    def give_back(self, prompt_tokens: int, reserved: int) -> None:
        """Undo a reservation: the request was aborted."""
        if self._meter is not None:
            self._meter.record(
                self.stage,
                prompt_tokens=-prompt_tokens,
                reply_tokens=-reserved,
                dollars=self._dollars(-prompt_tokens, -reserved),
            )

    def _dollars(self, prompt_tokens: int, reply_tokens: int) -> float | None:
        return None if self._price is None else self._price.dollars(prompt_tokens, reply_tokens)
