"""A cache language model: words that a text has used before become cheap. It scores texts without any model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.errors import ConfigError, UnsupportedError
from ragkit.identity import content_hash
from ragkit.inference import DEFAULT_WINDOWS, TokenScores, Windows
from ragkit.models.words import WIDE, WordTokenizer
from ragkit.protocols import LanguageModel, Progress

NAME = "cache"
_WIDE_CHARACTER = re.compile(f"[{WIDE}]")


def is_approximate(model: LanguageModel) -> bool:
    """Return whether `model` is the stand-in for a language model, whose results are to be labelled so."""
    return model.name == NAME


class CacheLanguageModel:
    """Scores words by a uniform background mixed with the words used so far; has no other ability.

    p(w | past) = (1 - mu) / vocabulary + mu * count(w in past) / count(past), the first word by the background alone.
    With `half_life` above 0 a count halves after so many words. Words are compared without case; punctuation is not
    scored; in Chinese, Japanese and Korean each character counts as the pair that it forms with the next one. Windows
    mean nothing here: everything before a word is its past.

    A new topic is expensive because its words are new, which is the signal that perplexity chunking needs; nothing else
    of a language model is in it. Raises ConfigError for a mu outside [0, 1) or a vocabulary below 2.

    >>> model = CacheLanguageModel(vocabulary=10)
    >>> [round(float(value), 4) for value in model.score(["a b a b"])[0].nll]
    [2.3026, 2.9957, 1.204, 1.5294]
    """

    cheap = True
    """Computing is faster than looking up: nothing is kept on disk."""

    def __init__(self, mu: float = 0.5, vocabulary: int = 10_000, half_life: float = 0.0) -> None:
        if not 0 <= mu < 1:
            raise ConfigError(f"mu is {mu}; expected 0 up to, but not, 1.", hint="Correct mu.")
        if vocabulary < 2:
            raise ConfigError(f"vocabulary is {vocabulary}; expected at least 2 words.", hint="Raise vocabulary.")
        if not half_life >= 0:
            raise ConfigError(f"half_life is {half_life}; expected words, or 0 for none.", hint="Correct half_life.")
        self.name = NAME
        self.window = 1 << 30
        self._mu, self._background = mu, 1.0 / vocabulary
        self._decay = 0.5 ** (1.0 / half_life) if half_life else 1.0
        self._tokenizer = WordTokenizer()
        self.fingerprint = content_hash(
            "cache language model", version=1, mu=mu, vocabulary=vocabulary, half_life=float(half_life)
        )

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of words and signs of each text."""
        return self._tokenizer.count(texts)

    def score(
        self,
        texts: Sequence[str],
        *,
        contexts: Sequence[str] | None = None,
        windows: Windows = DEFAULT_WINDOWS,  # noqa: ARG002 - the signature of LanguageModel
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> list[TokenScores]:
        """Return the scores of every word of each text, given the context of the same place."""
        found = []
        for done, (text, context) in enumerate(zip(texts, contexts or [""] * len(texts), strict=True), start=1):
            spans = self._words(text)
            if meter is not None:
                meter.spend("score", tokens=len(spans))
            past = [_key(context, start, end) for start, end in self._words(context).tolist()]
            own = [_key(text, start, end) for start, end in spans.tolist()]
            found.append(TokenScores(spans, np.array(self._scores(past, own), np.float32)))
            if progress is not None:
                progress("score", done, len(texts))
        return found

    def generate(self, *_: object, **__: object) -> str:
        """Raise UnsupportedError."""
        self._refuse("write")

    def generate_many(self, *_: object, **__: object) -> list[str]:
        """Raise UnsupportedError."""
        self._refuse("write")

    def generate_records(self, *_: object, **__: object) -> list[Any]:
        """Raise UnsupportedError."""
        self._refuse("write")

    def label_probabilities(self, *_: object, **__: object) -> NDArray[np.float64]:
        """Raise UnsupportedError."""
        self._refuse("answer")

    def _words(self, text: str) -> NDArray[np.int64]:
        """Return the spans of the words of `text`, shape (n, 2), without signs."""
        (spans,) = self._tokenizer.offsets([text])
        return spans[[_is_word(text[start]) for start in spans[:, 0].tolist()]]

    def _scores(self, past: Sequence[str], words: Sequence[str]) -> list[float]:
        """Return the negative log-likelihood of each of `words`, in nats; each goes into the counts after it."""
        decay = self._decay
        counts: dict[str, tuple[float, int]] = {}
        total = 0.0
        scores = []
        for at, word in enumerate([*past, *words]):
            count, seen = counts.get(word, (0.0, at))
            count *= decay ** (at - seen)
            total *= decay
            likelihood = self._background
            if at:
                likelihood = (1 - self._mu) * self._background + self._mu * count / total
            scores.append(-math.log(likelihood))
            counts[word] = (count + 1.0, at)
            total += 1.0
        return scores[len(past) :]

    def _refuse(self, what: str) -> NoReturn:
        raise UnsupportedError(
            f"The cache language model (model: {NAME}) scores texts by the words they repeat; it cannot {what}.",
            hint="Name a language model, for instance SmolLM2-135M-Instruct.",
        )


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_wide(text: str, at: int) -> bool:
    return at < len(text) and _WIDE_CHARACTER.match(text, at) is not None


def _key(text: str, start: int, end: int) -> str:
    """Return what a word is counted as: itself without case, or a pair of characters of a script without spaces."""
    if end - start == 1 and _is_wide(text, start) and _is_wide(text, end):
        return text[start : end + 1]
    return text[start:end].casefold()
