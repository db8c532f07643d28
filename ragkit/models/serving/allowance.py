"""The budget of requests that run at the same time: each is reserved before it is sent and settled afterwards."""

from __future__ import annotations

import asyncio
import time

from ragkit.budget import Meter, Price
from ragkit.errors import BudgetExceededError


class Allowance:
    """What one bulk call may spend of `meter`; None for no limit. Used on the background loop only.

    A request that the budget does not cover waits while others are under way, because they mostly use less than was
    reserved; alone, it gets a shorter reply. So limits hold, and replies are not cut for requests sent beside them.
    """

    def __init__(self, stage: str, meter: Meter | None, price: Price | None) -> None:
        """Book under `stage`."""
        self._stage = stage
        self._meter = meter
        self._price = price
        self._flying = 0
        self._settled = asyncio.Condition()

    @property
    def until(self) -> float | None:
        """The monotonic second at which the budget's time is over, None if it has no such limit."""
        if self._meter is None or self._meter.budget.seconds is None:
            return None
        return time.monotonic() + self._meter.budget.seconds - self._meter.seconds

    async def reserve(self, prompt_tokens: int, max_tokens: int) -> int:
        """Return how many tokens the reply may have; raise BudgetExceededError where not even one is left."""
        if self._meter is None:
            return max_tokens
        async with self._settled:
            while True:
                room = self._room(self._meter, prompt_tokens, max_tokens)
                if room == max_tokens or not self._flying:
                    try:
                        self._spend(self._meter, prompt_tokens, max(room, min(1, max_tokens)))
                        self._flying += 1
                    except BudgetExceededError:
                        if not self._flying:
                            raise
                    else:
                        return room
                await self._settled.wait()

    async def settle(self, reserved: tuple[int, int], used: tuple[int, int], *, calls: int, seconds: float) -> None:
        """Book what was `used` (tokens of prompt and reply) instead of what was `reserved`."""
        if self._meter is None:
            return
        prompt, reply = used[0] - reserved[0], used[1] - reserved[1]
        self._meter.record(
            self._stage,
            prompt_tokens=prompt,
            reply_tokens=reply,
            calls=calls,
            dollars=self._dollars(prompt, reply),
            seconds=seconds,
        )
        async with self._settled:
            self._flying -= 1
            self._settled.notify_all()

    def _room(self, meter: Meter, prompt_tokens: int, max_tokens: int) -> int:
        if meter.budget.tokens is None:
            return max_tokens
        return min(max_tokens, meter.budget.tokens - meter.tokens - prompt_tokens)

    def _spend(self, meter: Meter, prompt_tokens: int, reply_tokens: int) -> None:
        meter.spend(
            self._stage,
            prompt_tokens=prompt_tokens,
            reply_tokens=reply_tokens,
            dollars=self._dollars(prompt_tokens, reply_tokens),
        )

    def _dollars(self, prompt_tokens: int, reply_tokens: int) -> float | None:
        return None if self._price is None else self._price.dollars(prompt_tokens, reply_tokens)
