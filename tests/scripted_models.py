"""A language model that scores and answers as a test says; it counts its calls and fails where it is told to."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ragkit.errors import ModelError
from ragkit.inference import TokenScores

_WORD = re.compile(r"\w+|[^\w\s]")
MARKED = "Mark"
"""A word `Mark3` says that its sentence is number 3 of the scores a test gives."""


def hashed(word: str, _: int) -> float:
    """Return a score that looks random and is the same every time."""
    return (zlib.crc32(word.encode()) % 997) / 100


def marked_text(count: int, gap: str = " ") -> str:
    """Return `count` sentences that say their number."""
    return gap.join(f"{MARKED}{number} is here." for number in range(count))


def by_sentence(scores: Sequence[float]) -> Callable[[str, int], float]:
    """Return scores for `marked_text`: every word of sentence i gets `scores[i]`."""
    current = 0

    def score(word: str, at: int) -> float:
        nonlocal current
        if at == 0 or word.startswith(MARKED):
            current = int(word.removeprefix(MARKED))
        return scores[current]

    return score


class ScriptedModel:
    """`score` gives each word what `scores(word, number)` says; `label_probabilities` what `answer(prompt)` says."""

    def __init__(
        self,
        scores: Callable[[str, int], float] = hashed,
        answer: Callable[[str], tuple[float, float]] = lambda prompt: (
            1 - hashed(prompt, 0) / 10,
            hashed(prompt, 0) / 10,
        ),
        *,
        fails_on: str | None = None,
        error: type[Exception] = ModelError,
        down: bool = False,
    ) -> None:
        self.name = "scripted"
        self.fingerprint = "scripted-1"
        self.window = 8192
        self.scored: list[list[str]] = []
        self.contexts: list[list[str] | None] = []
        self.asked: list[list[str]] = []
        self.options: list[dict[str, Any]] = []
        self.scores, self.answer = scores, answer
        self._fails_on, self._error, self._down = fails_on, error, down

    def score(
        self, texts: Sequence[str], *, contexts: Sequence[str] | None = None, **options: Any
    ) -> list[TokenScores]:
        self.scored.append(list(texts))
        self.contexts.append(None if contexts is None else list(contexts))
        self.options.append(options)
        self._check(texts)
        if options.get("progress"):
            options["progress"]("score", len(texts), len(texts))
        return [self._scored(text) for text in texts]

    def label_probabilities(self, prompts: Sequence[Any], labels: Sequence[str], **options: Any) -> np.ndarray:
        texts = ["".join(segment.text for segment in prompt) for prompt in prompts]
        self.asked.append(texts)
        self.options.append({"labels": labels, **options})
        self._check(texts)
        if options.get("progress"):
            options["progress"]("label", len(texts), len(texts))
        return np.array([self.answer(text) for text in texts], np.float64).reshape(-1, len(labels))

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text)) for text in texts]

    def _scored(self, text: str) -> TokenScores:
        found = list(_WORD.finditer(text))
        spans = np.array([match.span() for match in found], np.int64).reshape(-1, 2)
        return TokenScores(spans, np.array([self.scores(m.group(), at) for at, m in enumerate(found)], np.float32))

    def _check(self, texts: Sequence[str]) -> None:
        if self._down:
            raise self._error("No server answers.")
        if self._fails_on is not None and any(self._fails_on in text for text in texts):
            raise self._error("The text is longer than the model's window.")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} must not be asked")
