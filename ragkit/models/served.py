"""A language model behind an OpenAI-compatible server: vLLM, llama.cpp, Ollama, a hosted service."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ragkit.budget import Meter
from ragkit.errors import ServerError, UsageError
from ragkit.identity import content_hash
from ragkit.models.window import answer_room
from ragkit.protocols import Segment

if TYPE_CHECKING:
    from openai import OpenAI

_DEFAULT_WINDOW = 8192
"""Where the server does not say; vLLM does (`max_model_len`)."""


class ServedLanguageModel:
    """Greedy replies of a served model through chat completions.

    What can be retried (429, 5xx, a lost connection, half a reply) is retried with growing pauses; every wait has an
    end. Token counts are estimates on the high side, because the server's tokenizer is not known here.

    Raises ServerError with a hint: no server, no such model, refused, too slow, not a reply.
    """

    template_tokens = 32
    """A guess of what the server's chat template adds."""

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        retries: int = 3,
        window: int | None = None,
    ) -> None:
        """Name the server ("http://host:port/v1") and its model (None: the only one it offers).

        The key is read from the environment variable `api_key_env`; `timeout` is in seconds for each attempt.
        """
        if not base_url.startswith(("http://", "https://")):
            raise UsageError(f"{base_url!r} is not the address of a server.", hint="Give http://host:port/v1.")
        self._url = base_url.rstrip("/")
        self._model = model
        self._api_key_env = api_key_env
        self._timeout = timeout
        self._retries = retries
        self._wanted_window = window
        self._lock = threading.Lock()

    @cached_property
    def name(self) -> str:
        """The model's name at the server; asks the server where none was given."""
        if self._model is not None:
            return self._model
        offered = [model["id"] for model in self._offered]
        if len(offered) != 1:
            raise ServerError(
                f"{self._url} offers {len(offered)} models ({', '.join(offered) or 'none'}); expected one.",
                hint="Name one of them: URL#model on the command line, `model` in the configuration.",
            )
        return str(offered[0])

    @cached_property
    def window(self) -> int:
        """Tokens of prompt and answer together: as given, as the server says, or 8,192."""
        if self._wanted_window is not None:
            return self._wanted_window
        stated = next((model.get("max_model_len") for model in self._offered if model["id"] == self.name), None)
        return int(stated or _DEFAULT_WINDOW)

    @cached_property
    def fingerprint(self) -> str:
        """Identifies server and model by name: what weights lie behind a name is not known here."""
        return content_hash("served language model", url=self._url, model=self.name)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return an estimate of the tokens of each text: one per three ASCII characters, one per other character."""
        return [
            math.ceil(ascii_count / 3) + len(text) - ascii_count for text in texts for ascii_count in [_ascii(text)]
        ]

    def generate(self, prompt: Sequence[Segment], *, max_tokens: int, meter: Meter | None = None) -> str:
        """Return the reply to `prompt`, at most `max_tokens` long, at temperature 0."""
        content = "".join(segment.text for segment in prompt)
        estimate = self.count([content])[0] + self.template_tokens
        room = answer_room(self.name, estimate, max_tokens, self.window, meter)
        reply = self._asked(
            lambda client: client.chat.completions.create(
                model=self.name,
                messages=[{"role": "user", "content": content}],
                max_tokens=room,
                temperature=0.0,
            )
        )
        text = _content(reply)
        if text is None:
            raise ServerError(
                f"{self._url} answered, but not with a chat completion: {str(reply)[:200]!r}.",
                hint="Check that the address ends in /v1 and that the server speaks the OpenAI protocol.",
            )
        if meter is not None:
            used = getattr(getattr(reply, "usage", None), "completion_tokens", None)
            meter.spend("generate", tokens=used if used is not None else self.count([text])[0])
        return text.strip()

    @cached_property
    def _offered(self) -> list[dict[str, Any]]:
        """The models that the server lists."""
        listed = self._asked(lambda client: client.models.list())
        data = getattr(listed, "data", None)
        if not isinstance(data, list):
            raise ServerError(
                f"{self._url} does not list its models.", hint="Name the model: URL#model, and check the address."
            )
        return [model.model_dump() for model in data]

    @cached_property
    def _client(self) -> OpenAI:
        from openai import OpenAI

        return OpenAI(
            base_url=self._url,
            api_key=os.environ.get(self._api_key_env) or "none",
            timeout=self._timeout,
            max_retries=self._retries,
        )

    def _asked(self, call: Any) -> Any:
        """Return what `call` gets from the server, or raise ServerError saying what went wrong."""
        import openai

        try:
            return call(self._client)
        except openai.APITimeoutError as error:
            raise ServerError(
                f"{self._url} did not answer within {self._timeout:g} s, {self._retries + 1} times.",
                hint="Is the server overloaded? Raise `timeout`, or ask for a shorter answer.",
            ) from error
        except openai.APIConnectionError as error:
            raise ServerError(
                f"No usable reply from {self._url}: {error.__cause__ or error}.",
                hint="Is the server running, and is that its address? For instance: vllm serve MODEL.",
            ) from error
        except openai.APIStatusError as error:
            raise self._refused(error.status_code, str(error.message)) from error
        except (openai.OpenAIError, ValueError) as error:  # a reply that is not JSON, or not of the protocol
            raise ServerError(
                f"{self._url} sent a reply that cannot be read: {error}.",
                hint="Check that the server speaks the OpenAI protocol.",
            ) from error

    def _refused(self, status: int, message: str) -> ServerError:
        hints = {
            401: f"Set the key in the environment variable {self._api_key_env}.",
            403: f"Set a key with the right to use the model in {self._api_key_env}.",
            404: "Check the model's name and that the address ends in /v1; the server lists its models at /models.",
            429: "The server limits the rate: wait, or ask less often.",
        }
        hint = hints.get(status, "See the server's log." if status >= 500 else "Correct the request.")
        again = f" after {self._retries + 1} attempts" if status == 429 or status >= 500 else ""
        return ServerError(f"{self._url} refused with status {status}{again}: {message[:300]}", hint=hint)


def _ascii(text: str) -> int:
    return sum(character < "\x80" for character in text)


def _content(reply: Any) -> str | None:
    """Return the text of a chat completion, None if `reply` is something else."""
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list) or not choices:
        return None
    content = getattr(getattr(choices[0], "message", None), "content", None)
    return content if isinstance(content, str) else None
