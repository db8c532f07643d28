"""A causal language model in this process, through transformers: SmolLM2-135M-Instruct unless another one is named."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ragkit.budget import Meter
from ragkit.errors import ModelError
from ragkit.identity import content_hash
from ragkit.models.hub import model_folder
from ragkit.models.known import KNOWN
from ragkit.models.profile import folder_fingerprint
from ragkit.models.tokenizer import HfTokenizer
from ragkit.models.window import answer_room
from ragkit.protocols import Segment

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_LOOP_TOKENS = 16
"""Tokens that must return to end a reply; shorter runs (a closing brace, a list mark) may return for a reason."""


def loops(reply: Sequence[int]) -> bool:
    """Return whether the last `_LOOP_TOKENS` tokens of `reply` stood in it before.

    >>> loops([*range(40)]), loops([*range(20), 7, *range(16)])
    (False, True)
    """
    last = list(reply[-_LOOP_TOKENS:])
    earlier = range(len(reply) - _LOOP_TOKENS)
    return any(reply[at] == last[0] and list(reply[at : at + _LOOP_TOKENS]) == last for at in earlier)


class LocalLanguageModel:
    """Greedy replies of a causal model, by name, folder or hub id.

    Making one costs nothing; `window`, `fingerprint` and `count` read the model's files without torch, the weights are
    loaded at the first prompt. The prompt is one user message where the model has a chat template, plain text else.

    The default is a model of 135 million parameters: it finds a short answer in a short text and does little more.

    Raises ModelError where the model cannot be found, loaded or run, or the prompt does not fit its window.
    """

    def __init__(
        self,
        model: str = "SmolLM2-135M-Instruct",
        device: str = "auto",
        dtype: Dtype = "auto",
        window: int | None = None,
    ) -> None:
        """Name the model; "auto" is a GPU in bfloat16 if there is one, else the CPU in float32."""
        self.name = model
        self._device = device
        self._dtype = dtype
        self._wanted_window = window
        self._lock = threading.Lock()

    @cached_property
    def window(self) -> int:
        """Tokens of prompt and answer together."""
        config = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
        positions = config.get("text_config", config).get("max_position_embeddings", 2048)
        return min(self._wanted_window or int(positions), int(positions))

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the weights and the number format."""
        known = KNOWN.get(self.name)
        weights = known.weights_hash if known else folder_fingerprint(self._folder)
        return content_hash("local language model", weights=weights, dtype=self._dtype)

    @cached_property
    def template_tokens(self) -> int:
        """Tokens that the chat template puts around a message."""
        return len(self._prompt_ids("x")) - self.count(["x"])[0]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return self._counter.count(texts)

    def generate(self, prompt: Sequence[Segment], *, max_tokens: int, meter: Meter | None = None) -> str:
        """Return the greedy reply to `prompt`, at most `max_tokens` long; an interrupt stops it between two tokens."""
        ids = self._prompt_ids("".join(segment.text for segment in prompt))
        room = answer_room(self.name, len(ids), max_tokens, self.window, meter)
        with self._lock:
            reply = self._reply(ids, room, meter)
        if meter is not None:
            meter.spend("generate", tokens=len(reply))
        text: str = self._tokenizer.decode(reply, skip_special_tokens=True)
        return text.strip()

    def _reply(self, ids: list[int], room: int, meter: Meter | None) -> list[int]:
        """Return the token ids of the reply, the end mark included."""
        import torch
        from transformers import GenerationConfig

        model = self._model
        seconds = meter.budget.seconds if meter is not None else None
        own = model.generation_config
        settings = GenerationConfig(
            max_new_tokens=room,
            do_sample=False,
            max_time=None if meter is None or seconds is None else max(0.0, seconds - meter.seconds),
            eos_token_id=own.eos_token_id or self._tokenizer.eos_token_id,
            pad_token_id=own.pad_token_id or self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
        )
        given = torch.tensor([ids], device=model.device)
        with torch.inference_mode():
            out = model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                generation_config=settings,
                stopping_criteria=[self._repeats_from(len(ids))],
            )
        reply: list[int] = out[0, len(ids) :].tolist()
        return reply

    def _repeats_from(self, start: int) -> Callable[..., Any]:
        """Return a criterion that ends a reply which repeats itself: greedy small models never leave a loop."""
        import torch

        def stop(ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG001 - the signature is the library's
            return torch.tensor([loops(ids[0, start:].tolist())], device=ids.device)

        return stop

    def _prompt_ids(self, text: str) -> list[int]:
        tokenizer = self._tokenizer
        if tokenizer.chat_template is None:
            return list(tokenizer(text)["input_ids"])
        message = [{"role": "user", "content": text}]
        rendered = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        return list(tokenizer(rendered, add_special_tokens=False)["input_ids"])

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        device = self._device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = self._dtype
        if dtype == "auto":
            dtype = "float32" if device == "cpu" else "bfloat16"
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            model = AutoModelForCausalLM.from_pretrained(
                self._folder, dtype=getattr(torch, dtype), local_files_only=True, use_safetensors=True
            )
            return model.to(device).eval()
        except Exception as error:  # the library raises many unrelated types
            raise ModelError(
                f"The language model {self.name!r} cannot be loaded on {device}: {error}",
                hint="Name another model or device, or fetch the model again.",
            ) from error
        finally:
            if shown:
                logging.enable_progress_bar()

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        tokenizer.model_max_length = 1 << 30  # the window is enforced here, with a better message
        return tokenizer

    @cached_property
    def _counter(self) -> HfTokenizer:
        return HfTokenizer.from_folder(self._folder)

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self.name)
