"""What went wrong between us and a server, as one error with a hint, and whether asking again can help."""

from __future__ import annotations

import email.utils
import math
import random
import time
from collections.abc import Mapping

from ragkit.errors import ServerError

LONGEST_PAUSE = 120.0
"""Seconds; a server that wants a longer pause has in effect refused."""
_FIRST_PAUSE, _LONGEST_BACKOFF = 0.5, 8.0


class RefusedError(Exception):
    """A status that is no success: `status`, the server's own words, the headers of the reply, its error code."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str], code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.code = code

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later: a rate limit or a failure of the server, not a spent quota."""
        return (self.status in (408, 409, 429) or self.status >= 500) and self.code != "insufficient_quota"

    def says(self, *words: str) -> bool:
        """Return whether it refuses the request itself (400, 404, 422, 501) and its message has one of `words`."""
        return self.status in (400, 404, 422, 501) and any(word in self.message.lower() for word in words)

    def error(self, url: str, api_key_env: str, attempts: int) -> ServerError:
        """Return the error for the user."""
        hints = {
            401: f"Set the key in the environment variable {api_key_env}.",
            403: f"Set a key with the right to use the model in {api_key_env}.",
            404: "Check the model's name and that the address ends in /v1; the server lists its models at /models.",
            429: "The server limits the rate: wait, or set `requests_per_minute` or a smaller `concurrency`.",
        }
        hint = hints.get(self.status, "See the server's log." if self.status >= 500 else "Correct the request.")
        if self.says("context length", "context window", "context size", "too long"):
            hint = "Ask for less, name a model with a longer window, or tell the true one with `window`."
        again = f" after {attempts} attempts" if attempts > 1 else ""
        every = self.status in (401, 403, 404) or self.code == "insufficient_quota"
        message = f"{url} refused with status {self.status}{again}: {self.message[:300]}"
        return ServerError(message, hint=hint, fails="server" if every else "request")


def asked_pause(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a reply's Retry-After asks for (a number or a date), None if it asks for none.

    >>> asked_pause({"retry-after": "2"}), asked_pause({"retry-after-ms": "50"}), asked_pause({})
    (2.0, 0.05, None)
    """
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif "retry-after" not in headers:
            return None
        elif (when := headers["retry-after"].strip()).replace(".", "", 1).isdigit():
            seconds = float(when)
        else:
            seconds = email.utils.parsedate_to_datetime(when).timestamp() - time.time()
    except (ValueError, TypeError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def backoff(attempt: int) -> float:
    """Return the seconds to wait after the failed `attempt` (from 0): growing, and drawn, so that clients spread."""
    return min(_FIRST_PAUSE * 2.0**attempt, _LONGEST_BACKOFF) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
