"""One result of a bulk call, told as soon as it is there, so that nothing paid for is lost when a later one fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Arrival:
    """The result at `place` of a bulk call, the tokens it took and the seconds from the request to the reply.

    `ended` is True where the model itself ended a reply, not a limit: under a budget only such replies, and those as
    long as was asked for, are kept for the next time.
    """

    place: int
    value: Any
    prompt_tokens: int = 0
    reply_tokens: int = 0
    seconds: float = 0.0
    ended: bool = False


Arrived = Callable[[Arrival], None]
"""Called in the caller's thread. A model whose bulk methods take it as `arrived` says so with `tells_arrivals`."""
