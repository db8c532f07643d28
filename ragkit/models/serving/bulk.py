"""Many requests at once: results in the order asked, each told as it arrives; one failure does not stop the others."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ragkit.errors import BudgetExceededError, RagkitError, ServerError, UnsupportedError
from ragkit.models.arrival import Arrival, Arrived
from ragkit.models.serving.loop import background_loop
from ragkit.protocols import Progress

_Outcome = Arrival | BaseException | None


def gathered(
    ask: Callable[[int], Awaitable[Arrival]],
    count: int,
    concurrency: int,
    *,
    stage: str,
    arrived: Arrived | None = None,
    progress: Progress | None = None,
) -> list[Any]:
    """Return the values of `ask(0)` ... `ask(count - 1)`, at most `concurrency` at once.

    `arrived` and `progress` are called in this thread. Where some fail, the others are finished and told first; then
    the error of the first place is raised, saying how many succeeded. Ctrl-C cancels what is under way; what has
    arrived by then is told.
    """
    if not count:
        return []
    outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
    values: dict[int, Any] = {}

    def take(arrival: Arrival) -> None:
        values[arrival.place] = arrival.value
        if arrived is not None:
            arrived(arrival)
        if progress is not None:
            progress(stage, len(values), count)

    running = asyncio.run_coroutine_threadsafe(_all(ask, count, concurrency, outcomes), background_loop())
    try:
        while (outcome := outcomes.get()) is not None:
            if isinstance(outcome, Arrival):
                take(outcome)
        failures = running.result()
    finally:
        if not running.done():
            running.cancel()
        while not outcomes.empty():
            if isinstance(outcome := outcomes.get(), Arrival):
                take(outcome)
    if failures:
        raise _first(failures, len(values), count)
    return [values[place] for place in range(count)]


async def _all(
    ask: Callable[[int], Awaitable[Arrival]], count: int, concurrency: int, outcomes: queue.SimpleQueue[_Outcome]
) -> dict[int, BaseException]:
    """Ask for every place with a few workers; return the failures by place."""
    places = iter(range(count))
    failures: dict[int, BaseException] = {}

    async def work() -> None:
        for place in places:
            try:
                outcomes.put(await ask(place))
            except Exception as error:
                failures[place] = error
            if any(_stops(error) for error in failures.values()):
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, count)):
                group.create_task(work())
    finally:
        outcomes.put(None)
    return failures


def _stops(error: BaseException) -> bool:
    """Return whether every further request would meet `error` too: no new one is sent, those under way are finished."""
    if isinstance(error, ServerError):
        return error.fails == "server"
    return isinstance(error, BudgetExceededError | UnsupportedError)


def _first(failures: dict[int, BaseException], succeeded: int, count: int) -> BaseException:
    """Return the error to raise: that of the first place, with the count of what succeeded."""
    error = failures[min(failures)]
    if isinstance(error, RagkitError) and count > 1:
        error.message += f" ({succeeded} of {count} prompts succeeded; number {min(failures) + 1} is the first not to.)"
    return error


async def together(parts: Sequence[Awaitable[Any]]) -> list[Any]:
    """Return the results of the requests that one prompt needs, in order; the first failure cancels the others."""

    async def of(part: Awaitable[Any]) -> Any:
        return await part

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(of(part)) for part in parts]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
