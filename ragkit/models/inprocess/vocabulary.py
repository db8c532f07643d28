"""A model's tokenizer as its users need it: prompts to ids, replies to text, places of tokens in a text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ragkit.models.causal.tokens import ScoringTokenizer
from ragkit.protocols import Prompt


class Vocabulary:
    """Reads the tokenizer of the model in `folder` at its first use."""

    def __init__(self, name: str, folder: Path) -> None:
        """Name the model and its folder."""
        self._name = name
        self._folder = folder

    def prompt(self, prompt: Prompt) -> list[int]:
        """Return the ids of a prompt: one message of the user in the chat template if there is one, else plain text."""
        text = "".join(segment.text for segment in prompt)
        if self._tokenizer.chat_template is None:
            return list(self._tokenizer(text)["input_ids"]) or [self.start]
        message = [{"role": "user", "content": text}]
        rendered = self._tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        return self.bare(rendered)

    def bare(self, text: str) -> list[int]:
        """Return the ids of a text without special tokens."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: Sequence[int]) -> str:
        """Return what a reply says, without special tokens and the white space around it."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()

    @cached_property
    def start(self) -> int:
        """The token in front of every scored pass, by the rule of the local model."""
        from transformers import AutoConfig

        from ragkit.models.causal.loading import start_token

        config = AutoConfig.from_pretrained(self._folder, local_files_only=True)
        return start_token(SimpleNamespace(config=config), self._tokenizer)

    @cached_property
    def scoring(self) -> ScoringTokenizer:
        """Tokenises texts with their places."""
        return ScoringTokenizer(self._tokenizer)

    @cached_property
    def _tokenizer(self) -> Any:
        from ragkit.models.causal.loading import load_tokenizer

        return load_tokenizer(self._name, self._folder)
