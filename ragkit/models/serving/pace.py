"""How fast a server is asked: so many requests at once, so many a minute, and none while it wants to be left alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Pace:
    """Limits of one server, shared by all calls of one model. Used on the background loop only."""

    def __init__(self, concurrency: int, requests_per_minute: float | None) -> None:
        """Allow `concurrency` requests at once and, if given, `requests_per_minute`, evenly spread."""
        self.concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._gap = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn; it is held while the block runs."""
        async with self._slots:
            while (wait := self._next - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._next = time.monotonic() + self._gap
            yield

    def hold(self, seconds: float) -> None:
        """Begin no request for so long: the server has said so to one of them."""
        self._next = max(self._next, time.monotonic() + seconds)
