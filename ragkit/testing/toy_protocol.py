"""The extensions of the OpenAI protocol that vLLM has, answered by a `ToyModel`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ragkit.testing.schema_sample import sample
from ragkit.testing.toy import ToyModel

EVERYTHING = ("tokenize", "prompt_logprobs", "echo", "logprobs", "json_schema", "start")
"""All extensions: the last one puts a start token before texts."""

Refused = tuple[int, str]


class ToyProtocol:
    """Answers what `offers` names; None for what the script of the server is to answer."""

    def __init__(self, toy: ToyModel, offers: Sequence[str], window: int) -> None:
        self._toy = toy
        self._offers = offers
        self._window = window

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any] | Refused | None:
        """Return the reply, or a status with its message."""
        if path == "/tokenize":
            return self._tokenized(request) if "tokenize" in self._offers else (404, "Not Found")
        chat = path == "/v1/chat/completions"
        if not chat and path != "/v1/completions":
            return None
        form = request.get("response_format") or request.get("structured_outputs")
        if form is not None:
            return self._filled(form)
        ids = self._chat(request["messages"]) if chat else self._ids(request["prompt"])
        if len(ids) + request["max_tokens"] > self._window:
            return 400, f"This model's maximum context length is {self._window} tokens."
        return self._told(request, ids, chat)

    def _told(self, request: dict[str, Any], ids: list[int], chat: bool) -> dict[str, Any] | Refused | None:
        if request.get("prompt_logprobs") is not None and "prompt_logprobs" in self._offers:
            return self._completion(ids, prompt_logprobs=self._prompt_logprobs(ids))
        if request.get("echo") and "echo" in self._offers:
            return self._completion(ids, logprobs=self._echoed(ids))
        if request.get("echo") or request.get("prompt_logprobs") is not None:
            return self._completion(ids)  # as servers do that ignore what they do not know
        if request.get("logprobs"):
            if "logprobs" not in self._offers:
                return 400, "logprobs are not supported by this model"
            return self._next(request, ids, chat)
        return None

    def _tokenized(self, request: dict[str, Any]) -> dict[str, Any]:
        if "messages" in request:
            ids = self._chat(request["messages"])
        else:
            special = request["add_special_tokens"] and "start" in self._offers
            ids = [self._toy.start] * special + self._toy.tokens(request["prompt"])
        return {
            "count": len(ids), "max_model_len": self._window, "tokens": ids, "token_strs": self._toy.strings(ids)
        }  # fmt: skip

    def _ids(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, list):
            return prompt
        return [self._toy.start] * ("start" in self._offers) + self._toy.tokens(prompt)

    def _chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        text = "".join(f"[{message['role']}] {message['content']}\n" for message in messages)
        return [self._toy.start, *self._toy.tokens(text + "[assistant] ")]

    def _filled(self, form: dict[str, Any]) -> dict[str, Any] | Refused | None:
        if "json_schema" not in self._offers:
            return 400, "response_format json_schema is not supported"
        schema = form["json"] if "json" in form else form["json_schema"]["schema"]
        return self._completion([], json.dumps(sample(schema)))

    def _completion(self, ids: Sequence[int], text: str = "", **fields: Any) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "text": text, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(ids), "completion_tokens": 1}
        return {"object": "completion", "choices": [{**choice, **fields}], "usage": usage}

    def _prompt_logprobs(self, ids: Sequence[int]) -> list[dict[str, Any] | None]:
        values = self._toy.nll(ids)
        told: list[dict[str, Any] | None] = [None]
        for token, value in zip(ids[1:], values[1:], strict=True):
            told.append({str(token): {"logprob": -float(value), "decoded_token": self._toy.text([token])}})
        return told

    def _echoed(self, ids: Sequence[int]) -> dict[str, Any]:
        shown = [token for token in ids if token != self._toy.start]
        values = self._toy.nll(ids)[len(ids) - len(shown) :]
        logprobs = [None if value != value else -float(value) for value in values]  # noqa: PLR0124 - NaN
        return {"tokens": [*map(self._piece, shown), "new"], "token_logprobs": [*logprobs, -1.0]}

    def _piece(self, token: int) -> str:
        """Return a token as OpenAI's completions write it, parts of characters as escaped bytes."""
        try:
            return self._toy.pieces[token].decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in self._toy.pieces[token])

    def _next(self, request: dict[str, Any], ids: Sequence[int], chat: bool) -> dict[str, Any]:
        values = self._toy.next_logprobs(ids)
        count = request.get("top_logprobs", 0) if chat else request["logprobs"]
        chosen = request.get("logprob_token_ids") or values.argsort()[::-1][:count].tolist()
        named = request.get("return_tokens_as_token_ids", False)
        entries = {f"token_id:{token}" if named else self._piece(token): float(values[token]) for token in chosen}
        best = max(entries, key=lambda token: entries[token])
        if not chat:
            return self._completion(ids, best, logprobs={"top_logprobs": [entries]})
        top = [{"token": token, "logprob": value} for token, value in entries.items()]
        first = {"token": best, "logprob": entries[best], "top_logprobs": top}
        return self._completion(ids, best, logprobs={"content": [first]})
