"""One server: requests with timeouts and retries, and its replies as plain JSON objects."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ragkit.errors import ServerError
from ragkit.models.serving.pace import Pace
from ragkit.models.serving.refusal import (
    LONGEST_PAUSE,
    RefusedError,
    asked_pause,
    backoff,
)

if TYPE_CHECKING:
    import openai
    from openai import AsyncOpenAI


class _LostError(Exception):
    """An attempt that got no reply; `error` is for the user, if none of the attempts does."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(error.message)
        self.error = error


class Connection:
    """Asks one server. Everything runs on the background loop."""

    def __init__(self, url: str, api_key_env: str, timeout: float, retries: int, pace: Pace) -> None:
        """Name the server's address ("http://host:port/v1"); `timeout` in seconds is for each attempt."""
        self.url = url
        self.pace = pace
        self._api_key_env = api_key_env
        self._timeout = timeout
        self._retries = retries

    async def get(self, path: str) -> dict[str, Any]:
        """Return what the server says at `path`; raises as `post` does."""
        return await self._asked(path, None, None)

    async def post(self, path: str, body: Mapping[str, Any], until: float | None = None) -> dict[str, Any]:
        """Return the reply to `body`.

        What can be retried (429 and 5xx, a lost connection, a timeout, half a reply) is, after a growing pause or the
        one that the server asks for, but never past `until` (monotonic seconds). Raises RefusedError where the server
        refuses the request itself, which the caller may know how to take, and ServerError for everything else.
        """
        return await self._asked(path, body, until)

    def error(self, refusal: RefusedError) -> ServerError:
        """Return `refusal` as the error for the user."""
        return refusal.error(self.url, self._api_key_env, self._retries + 1 if refusal.retryable else 1)

    @cached_property
    def client(self) -> AsyncOpenAI:
        """The library's client; its own retries are off, so that all rules stand in one place."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            base_url=self.url,
            api_key=os.environ.get(self._api_key_env) or "none",
            timeout=self._timeout,
            max_retries=0,
        )

    async def _asked(self, path: str, body: Mapping[str, Any] | None, until: float | None) -> dict[str, Any]:
        for attempt in range(self._retries + 1):
            pause = backoff(attempt)
            try:
                async with self.pace.slot():
                    reply = await self._once(path, body, until)
                if isinstance(reply, dict):
                    return reply
                failure = self._half(reply)
            except RefusedError as refusal:
                if not refusal.retryable:
                    raise
                failure = self.error(refusal)
                asked = asked_pause(refusal.headers)
                if asked is not None:
                    if asked > LONGEST_PAUSE:
                        raise self._wants_a_long_pause(refusal, asked) from None
                    self.pace.hold(asked)
                    pause = asked * (1 + pause / 80)  # spread, so that not all come back at once
            except _LostError as lost:
                failure = lost.error
            if attempt == self._retries or (until is not None and time.monotonic() + pause > until):
                raise failure
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, path: str, body: Mapping[str, Any] | None, until: float | None) -> Any:
        """Return the reply of one attempt: parsed JSON, or the text if it is none."""
        import openai

        timeout = self._timeout if until is None else min(self._timeout, max(0.001, until - time.monotonic()))
        try:
            if body is None:
                return await self.client.get(path, cast_to=object, options={"timeout": timeout})
            return await self.client.post(path, cast_to=object, body=dict(body), options={"timeout": timeout})
        except openai.APITimeoutError as error:
            raise _LostError(
                ServerError(
                    f"{self.url} did not answer within {timeout:g} s, {self._retries + 1} times.",
                    hint="Is the server overloaded? Raise `timeout`, or ask for a shorter answer.",
                )
            ) from error
        except openai.APIConnectionError as error:
            nobody = type(error.__cause__).__name__ == "ConnectError"
            raise _LostError(
                ServerError(
                    f"No usable reply from {self.url}: {error.__cause__ or error}.",
                    hint="Is the server running, and is that its address? For instance: vllm serve MODEL.",
                    fails="server" if nobody else "request",
                )
            ) from error
        except openai.APIStatusError as error:
            raise RefusedError(
                error.status_code, _words(error), error.response.headers, str(error.code or "")
            ) from None
        except json.JSONDecodeError as error:
            return error.doc
        except UnicodeDecodeError as error:  # broken off inside a character, or no text at all
            return bytes(error.object).decode("utf-8", "replace")
        except openai.OpenAIError as error:  # of the library itself, such as an empty key
            raise ServerError(
                f"{self.url} cannot be asked: {error}.", hint="Check the address and the key.", fails="server"
            ) from None

    def _half(self, reply: Any) -> ServerError:
        """Return the error of half a JSON object, which may come whole the next time; raise for any other body."""
        if isinstance(reply, str) and reply.lstrip().startswith("{"):
            return ServerError(
                f"No usable reply from {self.url}: it broke off after {len(reply)} characters, "
                f"{self._retries + 1} times.",
                hint="Is a proxy between here and the server cutting replies off? See the server's log.",
            )
        raise ServerError(
            f"{self.url} sent a reply that cannot be read: {str(reply)[:200]!r}.",
            hint="Check that the address ends in /v1 and that the server speaks the OpenAI protocol.",
            fails="protocol",
        )

    def _wants_a_long_pause(self, refusal: RefusedError, asked: float) -> ServerError:
        error = refusal.error(self.url, self._api_key_env, 1)
        message = f"{error.message} It wants to be asked again in {asked:.0f} s."
        return ServerError(message, hint=error.hint, fails="server")


def _words(error: openai.APIStatusError) -> str:
    """Return the server's own words, without the library's frame around them."""
    body = error.body
    inner = body.get("message") if isinstance(body, dict) else None
    return str(inner or error.message)
