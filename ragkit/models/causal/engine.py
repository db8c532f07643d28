"""A loaded causal model with everything that its four abilities share.

This module imports torch; import it only to run a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.errors import ModelError, UsageError
from ragkit.models.arrival import Arrived
from ragkit.models.causal.constraint import Grammars
from ragkit.models.causal.forward import Forward
from ragkit.models.causal.labels import label_probabilities
from ragkit.models.causal.loading import end_tokens, load_model, load_tokenizer, start_token
from ragkit.models.causal.scoring import Scorer
from ragkit.models.causal.tokens import ScoringTokenizer
from ragkit.models.causal.writing import Writer
from ragkit.models.chat_template import prompt_ids
from ragkit.protocols import Progress

_SCORING_TOKENS = {"cpu": 2048, "cuda": 65_536}
_WRITING_TOKENS = {"cpu": 16_384, "cuda": 131_072}
_CACHE_BYTES = {"cpu": 1 << 30, "cuda": 4 << 30}
"""Keys and values of one batch of replies, at most; of a GPU's free memory no more than an eighth."""


class Engine:
    """One model on one device. The tokenizer is there at once, the weights at the first use that needs them."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        device: str,
        dtype: str,
        window: int,
        batch_tokens: int | None,
        compiled: bool,
        day: date | None = None,
    ) -> None:
        """Name the model, and the `day` that a chat template which shows one shows in place of today."""
        self._name = name
        self._folder = folder
        self._device = device
        self._dtype = dtype
        self._window = window
        self._batch_tokens = batch_tokens
        self._compiled = compiled
        self.day = day
        self._tokenizer = load_tokenizer(name, folder)

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, of transformers."""
        return self._tokenizer

    def prompt_ids(self, text: str) -> list[int]:
        """Return the token ids of `text` as a user's message, ready for the reply."""
        return prompt_ids(self._tokenizer, text, self.day) or [start_token(self.model, self._tokenizer)]

    def text(self, tokens: Sequence[int]) -> str:
        """Return what `tokens` spell, special tokens left out."""
        found: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return found

    def label_probabilities(
        self,
        prompts: Sequence[str],
        labels: Sequence[str],
        *,
        meter: Meter | None,
        progress: Progress | None,
        arrived: Arrived | None,
    ) -> NDArray[np.float64]:
        """Return the probability of each label right after each prompt, shape (prompts, labels)."""
        ids = [self.prompt_ids(prompt) for prompt in prompts]
        tokens = [list(self._tokenizer(label, add_special_tokens=False)["input_ids"]) for label in labels]
        for label, own in zip(labels, tokens, strict=True):
            if not own:
                raise UsageError(f"The label {label!r} has no token.", hint="Give a label that the model can write.")
        longest = max(map(len, ids)) + max(map(len, tokens)) - 1
        if longest > self._window:
            raise ModelError(
                f"A prompt with its longest label has {longest} tokens; {self._name} reads {self._window}.",
                hint="Shorten the prompt, or name a model with a longer window.",
            )
        return label_probabilities(
            self._name,
            self.forward,
            ids,
            tokens,
            self._tokens(_SCORING_TOKENS),
            meter=meter,
            progress=progress,
            arrived=arrived,
        )

    @cached_property
    def model(self) -> Any:
        """The transformers model."""
        return load_model(self._name, self._folder, self._device, self._dtype)

    @cached_property
    def forward(self) -> Forward:
        """The model without generation."""
        return Forward(self.model, compiled=self._compiled)

    @cached_property
    def scorer(self) -> Scorer:
        """What scores texts."""
        start = start_token(self.model, self._tokenizer)
        size = 1 if self.forward.whole else self._tokens(_SCORING_TOKENS)
        return Scorer(self._name, self.forward, ScoringTokenizer(self._tokenizer), start, size)

    @cached_property
    def writer(self) -> Writer:
        """What writes replies."""
        ends = end_tokens(self.model, self._tokenizer)
        pad = self.model.generation_config.pad_token_id
        pad = self._tokenizer.pad_token_id if pad is None else pad
        pad = (ends or [0])[0] if pad is None else pad
        size = min(self._tokens(_WRITING_TOKENS), max(1, self._cache_room // _cache_bytes(self.model)))
        return Writer(self._name, self.model, ends, pad, self._window, size)

    @cached_property
    def grammars(self) -> Grammars:
        """What constrains replies to a schema."""
        ends = end_tokens(self.model, self._tokenizer)
        if not ends:
            raise ModelError(
                f"{self._name} names no end token, which constrained decoding needs.", hint="Name another model."
            )
        return Grammars(self._tokenizer, self.model.get_output_embeddings().weight.shape[0], ends)

    @property
    def _kind(self) -> str:
        return "cuda" if self.model.device.type == "cuda" else "cpu"

    @property
    def _cache_room(self) -> int:
        """Bytes that keys and values of one batch of replies may take."""
        most = _CACHE_BYTES[self._kind]
        if self._kind == "cpu":
            return most
        import torch

        return min(most, int(torch.cuda.mem_get_info(self.model.device)[0]) // 8)

    def _tokens(self, usual: dict[str, int]) -> int:
        return self._batch_tokens or usual[self._kind]


def _cache_bytes(model: Any) -> int:
    """Return the bytes of keys and values that one token takes."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * int(config.num_hidden_layers * heads * width) * int(model.dtype.itemsize)
