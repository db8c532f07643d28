"""What every ability shares: one served model, its requests, and the budget around each of them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ragkit.errors import ModelError, ServerError, UnsupportedError
from ragkit.inference import Sampling
from ragkit.models.arrival import Arrival
from ragkit.models.serving.abilities import Abilities
from ragkit.models.serving.allowance import Allowance
from ragkit.models.serving.connection import Connection
from ragkit.models.serving.refusal import RefusedError
from ragkit.models.serving.replies import usage

Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply, and the tokens and seconds that it took."""

    content: dict[str, Any]
    prompt_tokens: int
    reply_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Served:
    """A model of a server: how it is asked, what it can, how its tokens are guessed, and what one call may spend."""

    connection: Connection
    model: str
    window: int
    chat: bool
    start_token: str
    estimate: Callable[[str], int]
    abilities: Abilities
    allowance: Allowance

    @property
    def url(self) -> str:
        """The server's address."""
        return self.connection.url

    def asked(self, messages: Messages) -> tuple[str, dict[str, Any]]:
        """Return the path and the body of a request: a conversation, or plain text for a model without a template."""
        if self.chat:
            return "/chat/completions", {"model": self.model, "messages": messages}
        return "/completions", {"model": self.model, "prompt": "\n\n".join(message["content"] for message in messages)}

    async def sampled(self, sampling: Sampling) -> dict[str, Any]:
        """Return the fields that say how tokens are drawn."""
        fields: dict[str, Any] = {"temperature": sampling.temperature}
        if sampling.temperature > 0:
            fields |= {"top_p": sampling.top_p, "seed": sampling.seed}
        if sampling.repetition_penalty != 1.0:
            if not await self.abilities.is_vllm():
                raise UnsupportedError(
                    f"A repetition penalty is no part of the protocol, and {self.url} is not known to be vLLM.",
                    hint="Leave it at 1, use a local model, or serve the model with vLLM.",
                )
            fields["repetition_penalty"] = sampling.repetition_penalty
        return fields

    async def prompt_tokens(self, messages: Messages, max_tokens: int) -> int:
        """Return the tokens of a conversation: a guess on the high side where it fits, counted exactly where not.

        Raises ModelError where prompt and reply do not fit the window, before anything is sent.
        """
        count = sum(self.estimate(message["content"]) for message in messages)
        exactly = ""
        if count + max_tokens > self.window and self.chat and await self.abilities.tokenizes():
            try:
                count, exactly = len(await self.abilities.chat_tokens(messages)), "exactly "
            except RefusedError as refusal:
                raise self.connection.error(refusal) from None
        if count + max_tokens > self.window:
            raise ModelError(
                f"The prompt has {exactly or 'about '}{count} tokens and the answer may have {max_tokens}; together "
                f"{self.model} reads {self.window}.",
                hint="Select fewer or shorter chunks, ask for a shorter answer, or name a model with a longer window.",
            )
        return count

    async def post(self, path: str, body: Mapping[str, Any], prompt_tokens: int, max_tokens: int) -> Reply:
        """Return the reply to `body`, within the budget: reserved before, settled to what the server says afterwards.

        A failed request costs nothing. Raises RefusedError where the server refuses the request itself.
        """
        room = await self.allowance.reserve(prompt_tokens, max_tokens)
        used, calls, started = (0, 0), 0, time.perf_counter()
        try:
            content = await self._posted(path, {**body, "max_tokens": room})
            stated = usage(content)
            used = (prompt_tokens if stated[0] is None else stated[0], room if stated[1] is None else stated[1])
            calls = 1
        finally:
            seconds = time.perf_counter() - started
            await self.allowance.settle((prompt_tokens, room), used, calls=calls, seconds=seconds)
        return Reply(content, *used, seconds)

    async def _posted(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the reply to `body`, asked again where a refusal names other words for the same."""
        words = self.abilities.worded(body)
        while True:
            try:
                return await self.connection.post(path, words, self.allowance.until)
            except RefusedError as refusal:
                self.abilities.learn(refusal)
                tried, words = words, self.abilities.worded(body)
                if words == tried:
                    raise

    async def told(self, place: int, ask: Awaitable[Arrival]) -> Arrival:
        """Return what `ask` returns, as the result at `place`; a refusal becomes the user's error."""
        try:
            return replace(await ask, place=place)
        except RefusedError as refusal:
            raise self.connection.error(refusal) from None

    async def reading(self, ask: Awaitable[Arrival]) -> Arrival:
        """Return what `ask` returns; where it stumbles over the parts of a reply, that is the server's error."""
        try:
            return await ask
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ServerError(
                f"{self.url} sent a reply whose parts are not as expected ({type(error).__name__}: {error}).",
                hint="Does it speak the OpenAI protocol? RAGKIT_TRACEBACK=1 shows where reading ended.",
                fails="protocol",
            ) from error
