"""Threads that wait for each other before a model is asked: calls of one kind that wait together are made as one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ragkit.errors import ContractError, ModelError, SchemaError, ServerError
from ragkit.eval.experiment.metering import MeteredModel

T = TypeVar("T")

THREADS = 256
"""Questions that are on their way at the same time."""


class Wanted(BaseException):
    """A model was asked for while it was only to be found out whether it would be; nothing that a part may catch."""


@dataclass(slots=True, eq=False)
class Call:
    """What one thread asks `metered` for: calls of equal `kind` are made together by `bulk`."""

    metered: MeteredModel
    kind: tuple[Any, ...]
    items: Sequence[Any]
    bulk: Callable[[Sequence[Any]], Sequence[Any]]
    seconds: float = 0.0
    """Its share of what the model took."""
    found: Sequence[Any] = ()
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Meeting:
    """Runs tasks in threads; a call is made once every thread waits for one or has ended. Outside of `run`, at once."""

    def __init__(self) -> None:
        """Hold no task."""
        self._lock = threading.Lock()
        self._waiting: list[Call] = []
        self._running = 0
        self._stopped = False
        self._probing = False
        self._outage: ServerError | None = None

    def run(self, tasks: Sequence[Callable[[], T]], threads: int = THREADS) -> list[T]:
        """Return what each task returns, in order, at most `threads` at a time; raise what the first failed one raises.

        All others are ended before that. A server that failed is raised even where a task made do without its reply:
        what came out then is no result.
        """
        found: dict[int, T] = {}
        failed: dict[int, BaseException] = {}
        places = iter(range(len(tasks)))

        def work() -> None:
            try:
                for place in self._next(places):
                    try:
                        found[place] = tasks[place]()
                    except BaseException as error:
                        failed[place] = error
            finally:
                self._ended()

        workers = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(tasks)))]
        self._running, self._stopped, self._outage = len(workers), False, None
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        except BaseException:
            self._stop()
            raise
        if self._outage is not None:
            raise self._outage
        if failed:
            raise failed[min(failed)]
        return [found[place] for place in range(len(tasks))]

    def probe(self, task: Callable[[], T]) -> T | None:
        """Return what `task` returns if it asks for no call, else None; no call is made."""
        self._probing = True
        try:
            return task()
        except Wanted:
            return None
        finally:
            self._probing = False

    def ask(self, call: Call) -> None:
        """Return when `call` was made; raise what the model raises for it."""
        if self._probing:
            raise Wanted
        with self._lock:
            if self._stopped:
                raise _stopped()
            self._waiting.append(call)
            self._running -= 1
            ready = self._taken()
        self._serve(ready)
        call.done.wait()
        if call.error is not None:
            raise call.error

    def _stop(self) -> None:
        """Let no thread begin anything, and wake those that wait: nobody will make their calls."""
        with self._lock:
            self._stopped = True
            waiting, self._waiting = self._waiting, []
        for call in waiting:
            call.error = _stopped()
            call.done.set()

    def _next(self, places: Iterator[int]) -> Iterator[int]:
        """Yield the places that no other thread has taken."""
        while True:
            with self._lock:
                place = None if self._stopped else next(places, None)
            if place is None:
                return
            yield place

    def _ended(self) -> None:
        with self._lock:
            self._running -= 1
            ready = self._taken()
        self._serve(ready)

    def _taken(self) -> list[Call]:
        """Return the waiting calls if no thread does anything else; their threads count as running again."""
        if self._running > 0 or not self._waiting:
            return []
        ready, self._waiting = self._waiting, []
        self._running += len(ready)
        return ready

    def _serve(self, calls: Sequence[Call]) -> None:
        kinds: dict[tuple[Any, ...], list[Call]] = {}
        for call in calls:
            kinds.setdefault((id(call.metered), *call.kind), []).append(call)
        try:
            for group in kinds.values():
                self._make(group)
        finally:  # a thread that is not told waits for ever
            for call in calls:
                call.done.set()

    def _make(self, calls: Sequence[Call]) -> None:
        """Make the calls as one; where that fails, without those that failed, or in halves where that is not known.

        What was answered comes from the model's cache then.
        """
        first, items = calls[0], [item for call in calls for item in call.items]
        started = time.perf_counter()
        try:
            made, seconds, _ = first.metered.timed(lambda: first.bulk(items), len(items))
            if len(made) != len(items):
                raise ContractError(
                    f"{first.metered.model.name} was asked {len(items)} times and gave {len(made)} replies.",
                    hint="A language model returns one result for each prompt.",
                )
        except BaseException as error:
            if isinstance(error, SchemaError):
                told = _blamed(calls, error.failed, (time.perf_counter() - started) / len(items))
                if told:
                    rest = [call for call in calls if call not in told]
                    if rest:
                        self._make(rest)
                    return
            if isinstance(error, ModelError) and not isinstance(error, ServerError) and len(calls) > 1:
                middle = len(calls) // 2
                self._make(calls[:middle])
                self._make(calls[middle:])
                return
            if isinstance(error, ServerError):
                self._outage = error
            for call in calls:
                call.error = error
            return
        following = iter(made)
        for call in calls:
            call.found = [next(following) for _ in call.items]
            call.seconds = seconds * len(call.items)


def _blamed(calls: Sequence[Call], failed: Mapping[int, SchemaError], seconds: float) -> list[Call]:
    """Return those of `calls` to which the `failed` items belong, told so; an item took `seconds`."""
    found, start = [], 0
    for call in calls:
        end = start + len(call.items)
        own = {place - start: failed[place] for place in range(start, end) if place in failed}
        if own:
            call.error, call.seconds = SchemaError.of(own), seconds * len(own)
            found.append(call)
        start = end
    return found


def _stopped() -> ModelError:
    return ModelError("The run was stopped.", hint="Start it again; what was answered is kept.")
