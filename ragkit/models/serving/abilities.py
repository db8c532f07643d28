"""What a server can do, found out by asking once, and never assumed."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Mapping
from typing import Any, Literal

from ragkit.errors import RagkitWarning, ServerError, UnsupportedError
from ragkit.models.serving.connection import Connection
from ragkit.models.serving.refusal import RefusedError

_PROBE = "One two."
_LENGTH = "max_completion_tokens"
Scoring = Literal["prompt_logprobs", "echo"]


class Abilities:
    """The extensions of one server and model. Used on the background loop only."""

    def __init__(self, connection: Connection, model: str, offered: list[dict[str, Any]] | None = None) -> None:
        """Ask nothing yet; `offered` is the server's list of models where it is known."""
        self._connection = connection
        self._model = model
        self._lock = asyncio.Lock()
        self._other_words: set[str] = set()
        self._known: dict[Any, Any] = {} if offered is None else {"models": offered}

    async def offered(self) -> list[dict[str, Any]]:
        """Return the models that the server lists, none if it lists nothing."""
        async with self._lock:
            if "models" not in self._known:
                self._known["models"] = await self._listed()
            found: list[dict[str, Any]] = self._known["models"]
            return found

    def worded(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return `body` in the words that the model was found to take."""
        words = dict(body)
        if _LENGTH in self._other_words:
            words[_LENGTH] = words.pop("max_tokens")
        if "temperature" in self._other_words and words.get("temperature") == 0:
            del words["temperature"]
        return words

    def learn(self, refusal: RefusedError) -> None:
        """Take note of a refusal that names the words the model takes instead, as OpenAI's reasoning models do.

        One that takes no temperature 0 is asked without, which a RagkitWarning says: its replies may then vary.
        """
        if not refusal.says("unsupported", "not supported", "does not support"):
            return
        if refusal.says(_LENGTH):
            self._other_words.add(_LENGTH)
        elif refusal.says("temperature") and "temperature" not in self._other_words:
            self._other_words.add("temperature")
            warnings.warn(
                f"{self._model} at {self._connection.url} takes no temperature of 0: it is asked without one, and may "
                "reply otherwise the next time.",
                RagkitWarning,
                stacklevel=2,
            )

    async def is_vllm(self) -> bool:
        """Return whether the model is served by vLLM, which then takes its extensions of the protocol."""
        mine = [model for model in await self.offered() if model.get("id") == self._model]
        return any(model.get("owned_by") == "vllm" for model in mine)

    async def tokenizes(self) -> bool:
        """Return whether the server has vLLM's /tokenize with the tokens' strings."""
        async with self._lock:
            if "tokenize" not in self._known:
                try:
                    ids, strings = await self.tokens(_PROBE)
                    self._known["tokenize"] = bool(ids) and len(ids) == len(strings)
                except RefusedError as refusal:
                    if refusal.retryable:
                        raise self._connection.error(refusal) from None
                    self._known["tokenize"] = False
                except ServerError as error:
                    if error.fails != "protocol":
                        raise
                    self._known["tokenize"] = False
                except (KeyError, TypeError):
                    self._known["tokenize"] = False
            return bool(self._known["tokenize"])

    async def scoring(self) -> Scoring:
        """Return how the server tells the log-probabilities of a prompt; raise UnsupportedError if it does not."""
        async with self._lock:
            if "scoring" not in self._known:
                self._known["scoring"] = await self._probed_scoring()
        way: Scoring | None = self._known["scoring"]
        if way is None:
            raise UnsupportedError(
                f"{self._connection.url} does not tell the probabilities of a prompt's tokens, which scoring needs.",
                hint="Use a local model (its name instead of an address), or a server with them: vllm serve MODEL.",
            )
        return way

    async def tokens(self, text: str, *, special: bool = False) -> tuple[list[int], list[str]]:
        """Return the ids and strings of the tokens of `text`, with the model's start token if `special`."""
        body = {"prompt": text, "add_special_tokens": special, "return_token_strs": True}
        return await self._tokenized(body)

    async def chat_tokens(self, messages: list[dict[str, str]]) -> list[int]:
        """Return the ids of a conversation in the model's chat template, ready for the reply."""
        return (await self._tokenized({"messages": messages, "add_generation_prompt": True}))[0]

    async def label_tokens(self, label: str) -> list[int]:
        """Return the ids of a label, which are asked for once."""
        async with self._lock:
            if ("label", label) not in self._known:
                self._known["label", label] = (await self.tokens(label))[0]
            known: list[int] = self._known["label", label]
            return known

    async def start_tokens(self, given: str) -> list[int]:
        """Return the ids that the model's tokenizer puts before a text; those of `given` if it puts none."""
        async with self._lock:
            if "start" not in self._known:
                bare = (await self.tokens(_PROBE))[0]
                full = (await self.tokens(_PROBE, special=True))[0]
                at = next((at for at in range(len(full)) if full[at : at + len(bare)] == bare), 0)
                self._known["start"] = full[:at] or ((await self.tokens(given))[0] if given else [])
            start: list[int] = self._known["start"]
            return start

    async def _tokenized(self, body: dict[str, Any]) -> tuple[list[int], list[str]]:
        root = self._connection.url.removesuffix("/v1")
        reply = await self._connection.post(f"{root}/tokenize", {"model": self._model, **body})
        return list(reply["tokens"]), list(reply.get("token_strs") or ())

    async def _listed(self) -> list[dict[str, Any]]:
        try:
            listed = (await self._connection.get("/models")).get("data")
        except RefusedError as refusal:
            if refusal.retryable:
                raise self._connection.error(refusal) from None
            return []
        return [model for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []

    async def _probed_scoring(self) -> Scoring | None:
        body = {"model": self._model, "prompt": _PROBE, "max_tokens": 1, "temperature": 0.0}
        if isinstance((await self._probed({**body, "prompt_logprobs": 0})).get("prompt_logprobs"), list):
            return "prompt_logprobs"
        echoed = (await self._probed({**body, "echo": True, "logprobs": 1})).get("logprobs")
        tokens = echoed.get("tokens") if isinstance(echoed, dict) else None
        if isinstance(tokens, list) and "".join(map(str, tokens)).startswith(_PROBE):
            return "echo"
        return None

    async def _probed(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the first choice of a completion, an empty one where the server refuses the request."""
        try:
            choices = (await self._connection.post("/completions", body)).get("choices")
        except RefusedError as refusal:
            if refusal.retryable or refusal.status in (401, 403) or refusal.says("does not exist"):
                raise self._connection.error(refusal) from None
            return {}
        except ServerError as error:
            if error.fails != "protocol":
                raise
            return {}
        return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
