"""Many replies of one model: which prompts go together, what they may cost, and each reply told as it arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.budget import Meter
from ragkit.errors import SchemaError
from ragkit.inference import Sampling
from ragkit.models.causal.constraint import Matcher
from ragkit.models.causal.generation import Written, reply_batches, write
from ragkit.models.window import answer_room

STAGE = "generate"

Take = Callable[[int, Written, float], None]
"""Called with a prompt's place, its reply, and the seconds that its batch took, once for each reply as it is there."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes replies with a loaded model; `batch_tokens` bounds prompts and replies of one batch together."""

    name: str
    model: Any
    ends: Sequence[int]
    pad: int
    window: int
    batch_tokens: int

    def write_all(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        sampling: Sampling,
        meter: Meter | None,
        matchers: Callable[[int], Sequence[Matcher]] | None,
        take: Take,
    ) -> None:
        """Give each reply to `take`; raise ModelError before anything is written where a prompt does not fit.

        Raises BudgetExceededError where the budget ends; replies that were complete by then have been taken. Where
        `take` refuses replies with a SchemaError, all others are written first.
        """
        refused: dict[int, SchemaError] = {}
        for prompt in prompts:
            answer_room(self.name, len(prompt), max_tokens, self.window, None)
        for places in reply_batches([len(prompt) for prompt in prompts], max_tokens, self.batch_tokens):
            for part in self._affordable(places, prompts, max_tokens, meter):
                chosen = [prompts[place] for place in part]
                room = min(answer_room(self.name, len(ids), max_tokens, self.window, meter) for ids in chosen)
                began = time.monotonic()
                replies = write(
                    self.name,
                    self.model,
                    chosen,
                    max_tokens=room,
                    ends=self.ends,
                    pad=self.pad,
                    sampling=sampling,
                    meter=meter,
                    matchers=None if matchers is None else matchers(len(part)),
                )
                seconds = time.monotonic() - began
                if meter is not None:
                    tokens = sum(len(reply.tokens) for reply in replies)
                    meter.record(STAGE, reply_tokens=tokens, calls=len(part), dollars=0.0, seconds=seconds)
                refused |= self._deliver(part, replies, max_tokens=max_tokens, seconds=seconds, meter=meter, take=take)
        if refused:
            raise SchemaError.of(refused)

    def _affordable(
        self, places: list[int], prompts: Sequence[Sequence[int]], max_tokens: int, meter: Meter | None
    ) -> Iterator[list[int]]:
        """Yield the batch whole where the token budget covers its longest replies, else one prompt at a time."""
        limit = None if meter is None else meter.budget.tokens
        if meter is None or limit is None:
            return iter([places])
        worst = sum(len(prompts[place]) + max_tokens for place in places)
        return iter([places] if meter.tokens + worst <= limit else [[place] for place in places])

    def _deliver(
        self,
        places: Sequence[int],
        replies: Sequence[Written],
        *,
        max_tokens: int,
        seconds: float,
        meter: Meter | None,
        take: Take,
    ) -> dict[int, SchemaError]:
        """Hand out the replies of a batch and return those that `take` refuses.

        Where the deadline cut them, only the complete ones are handed out, and BudgetExceededError is raised.
        """
        late = meter is not None and meter.budget.seconds is not None and meter.seconds > meter.budget.seconds
        refused = {}
        for place, reply in zip(places, replies, strict=True):
            if not late or reply.complete or len(reply.tokens) >= max_tokens:
                try:
                    take(place, reply, seconds)
                except SchemaError as error:
                    refused[place] = error
        if late and meter is not None:
            meter.spend(STAGE)
        return refused
