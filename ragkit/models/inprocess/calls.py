"""Many calls of one engine under one bill: fed as there is room, each answer told as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ModelError
from ragkit.models.inprocess.bill import Bill
from ragkit.models.inprocess.engine import Engine, Request


@dataclass(frozen=True, slots=True)
class Call:
    """A prompt as token ids, the most tokens of its reply, and what else vLLM's SamplingParams are to say."""

    ids: Sequence[int] | NDArray[np.int32]
    max_tokens: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: its token ids, whether `max_tokens` cut it off, and the log-probabilities that were asked for."""

    ids: Sequence[int]
    cut: bool
    logprobs: Any
    prompt_logprobs: Any
    seconds: float


def answer_all(engine: Engine, bill: Bill, calls: Sequence[Call], take: Callable[[int, Answer], None]) -> None:
    """Run `calls` and tell each answer with the place of its call; raises as `Engine.run` and `Bill.reserve` do."""
    reserved: dict[int, tuple[int, float]] = {}

    def ask(place: int, others: bool) -> Request | None:
        from vllm import SamplingParams

        call = calls[place]
        room = bill.reserve(len(call.ids), call.max_tokens, others)
        if room is None:
            return None
        reserved[place] = room, time.perf_counter()
        return Request(call.ids, SamplingParams(max_tokens=room, detokenize=False, flat_logprobs=True, **call.options))

    def finished(place: int, output: Any) -> None:
        room, started = reserved.pop(place)
        (reply,) = output.outputs
        seconds = time.perf_counter() - started
        bill.settle(room, len(reply.token_ids), seconds)
        cut = reply.finish_reason == "length"
        take(place, Answer(reply.token_ids, cut, reply.logprobs, output.prompt_logprobs, seconds))

    try:
        engine.run(len(calls), ask, finished, bill.check)
    finally:
        for place, (room, _) in reserved.items():
            bill.give_back(len(calls[place].ids), room)


def check_window(name: str, calls: Sequence[Call], window: int) -> None:
    """Raise ModelError, before anything is spent, where a prompt and its reply do not fit `window`."""
    for call in calls:
        if len(call.ids) + call.max_tokens > window:
            raise ModelError(
                f"The prompt has {len(call.ids)} tokens and the answer may have {call.max_tokens}; together {name} "
                f"reads {window}.",
                hint="Select fewer or shorter chunks, ask for a shorter answer, or name a model with a longer window.",
            )
