"""One bulk call through the cache: what is known is read, the rest is computed and written as it arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.budget import Meter
from ragkit.errors import SchemaError
from ragkit.models.arrival import Arrival, Arrived
from ragkit.models.blob_cache import BlobCache
from ragkit.models.stored import Form, Stored
from ragkit.models.trace import Trace, Traced
from ragkit.protocols import Progress

_FIRST_SLICE = 64
_SLICE_SECONDS = 10.0
"""A slice that took less is followed by one of twice the size: what a killed process loses is about so much work."""

_DEAR_SECONDS = 0.05
"""A result that took longer is written at once, and so is every one of a model whose replies are `paid`."""
_WAIT_SECONDS = 0.25
"""Cheaper ones are written together: what a killed process loses of them is computed again in about that time."""

Compute = Callable[[Sequence[int], Arrived | None, Progress | None], Sequence[Any]]
"""Returns the results at some places; calls `Arrived` with positions in that list, if it was given one."""


@dataclass(frozen=True, slots=True)
class Question:
    """A bulk call: its keys, how results are stored, and how the missing ones are computed.

    `taken` guesses the tokens of prompt and reply of a result where the model does not tell; `least` is the reply's
    length below which a reply under a budget may have been cut short, 0 where that cannot be.
    """

    ability: str
    stage: str
    model: str
    keys: Sequence[bytes]
    form: Form
    compute: Compute
    taken: Callable[[int, Any], tuple[int, int]]
    tells_arrivals: bool
    paid: bool
    least: int = 0


def remembered(
    question: Question, cache: BlobCache | None, meter: Meter | None, trace: Trace | None, progress: Progress | None
) -> list[Any]:
    """Return the results in order; equal keys are computed once."""
    run = _Run(question, cache, meter, trace)
    run.look_up()
    first = {key: place for place, key in reversed(list(enumerate(question.keys))) if key not in run.found}
    missing = sorted(first.values())
    if missing and question.tells_arrivals:
        try:
            question.compute(missing, lambda arrival: run.take(missing, arrival), progress)
        except SchemaError as error:
            raise _placed(error, missing, question.keys) from None
        finally:
            run.write()
    elif missing:
        run.in_slices(missing, progress)
    elif progress is not None and question.keys:
        progress(question.stage, len(question.keys), len(question.keys))
    return [run.found[key] for key in question.keys]


class _Run:
    def __init__(self, question: Question, cache: BlobCache | None, meter: Meter | None, trace: Trace | None) -> None:
        self.found: dict[bytes, Any] = {}
        self._question = question
        self._cache = cache
        self._meter = meter
        self._trace = trace
        self._waiting: dict[bytes, bytes] = {}
        self._written = 0.0

    def look_up(self) -> None:
        """Read what is known; it costs nothing and is counted apart."""
        if self._cache is None:
            return
        held = self._cache.get(self._question.keys)
        known: dict[bytes, Stored] = {}
        for key, content in held.items():
            stored = self._question.form.unpack(content)
            if stored is None:  # of an older schema or format
                self._cache.forget(key)
            else:
                known[key] = stored
                self.found[key] = stored.value
        calls = [known[key] for key in self._question.keys if key in known]
        if calls and self._meter is not None:
            self._meter.record(self._question.stage, cached=len(calls))
        if self._trace is not None:
            for stored in calls:
                self._note(stored, cached=True)

    def take(self, places: Sequence[int], arrival: Arrival) -> None:
        """Keep one result as it arrives."""
        key = self._question.keys[places[arrival.place]]
        stored = Stored(arrival.value, arrival.prompt_tokens, arrival.reply_tokens, arrival.seconds)
        self._keep(key, stored, arrival.ended)
        dear = self._question.paid or arrival.seconds >= _DEAR_SECONDS
        if dear or time.monotonic() - self._written >= _WAIT_SECONDS:
            self.write()

    def in_slices(self, missing: Sequence[int], progress: Progress | None) -> None:
        """Compute `missing` by a model that tells nothing before it is done."""
        done = 0
        for part, started in _slices(missing):
            values = self._question.compute(part, None, None)
            seconds = (time.perf_counter() - started) / len(part)
            for place, value in zip(part, values, strict=True):
                stored = Stored(value, *self._question.taken(place, value), seconds)
                self._keep(self._question.keys[place], stored, ended=False)
            self.write()
            done += len(part)
            if progress is not None:
                progress(self._question.stage, done, len(missing))

    def write(self) -> None:
        """Write what waits."""
        if self._cache is not None and self._waiting:
            self._cache.put(self._waiting)
            self._waiting = {}
        self._written = time.monotonic()

    def _keep(self, key: bytes, stored: Stored, ended: bool) -> None:
        self.found[key] = stored.value
        self._note(stored, cached=False)
        whole = ended or not self._limited or stored.reply_tokens >= self._question.least
        content = self._question.form.pack(stored) if whole and self._cache is not None else None
        if content is not None:
            self._waiting[key] = content

    @property
    def _limited(self) -> bool:
        """Whether a budget may cut replies short, which must not be taken for whole ones the next time."""
        return self._meter is not None and (
            self._meter.budget.tokens is not None or self._meter.budget.seconds is not None
        )

    def _note(self, stored: Stored, *, cached: bool) -> None:
        if self._trace is None:
            return
        asked = self._question
        stage = (self._meter.name if self._meter is not None else None) or asked.stage
        spent = (stored.prompt_tokens, stored.reply_tokens, stored.seconds)
        note = Traced(stage, asked.ability, asked.model, *spent, cached)
        if callable(self._trace):
            self._trace(note)
        else:
            self._trace.append(note)


def _placed(error: SchemaError, missing: Sequence[int], keys: Sequence[bytes]) -> SchemaError:
    """Return `error` of the call for the `missing` places as that of the call for all `keys`."""
    if not error.failed:
        return error
    failed = {keys[missing[at]]: one for at, one in error.failed.items()}
    return SchemaError.of({place: failed[key] for place, key in enumerate(keys) if key in failed})


def _slices(places: Sequence[int]) -> Iterator[tuple[Sequence[int], float]]:
    """Yield parts of `places`, with the time at which each began; they grow while they are quick."""
    at, size = 0, _FIRST_SLICE
    while at < len(places):
        started = time.perf_counter()
        yield places[at : at + size], started
        at += size
        if time.perf_counter() - started < _SLICE_SECONDS:
            size *= 2
