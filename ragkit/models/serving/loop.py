"""One event loop in a background thread, for all requests of the process.

Requests run there and the caller waits, so that Ctrl-C reaches the caller at once, the requests under way are cancelled
(their connections closed, so that the server stops too), and code that runs in an event loop itself, such as a
notebook, can ask as well.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")

_lock = threading.Lock()
_running: dict[int, asyncio.AbstractEventLoop] = {}
"""By process: a forked child has the loop but not its thread."""


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process, started at the first call."""
    with _lock:
        loop = _running.get(os.getpid())
        if loop is None:
            loop = _running[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="ragkit requests", daemon=True).start()
        return loop


def waited(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what `work` returns on the background loop; Ctrl-C cancels it."""
    running = asyncio.run_coroutine_threadsafe(work, background_loop())
    try:
        return running.result()
    finally:
        running.cancel()
