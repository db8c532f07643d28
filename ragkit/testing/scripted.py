"""A language model that says what a test tells it to, in process: replies, records, scores and label probabilities.

model = ScriptedLanguageModel({"capital": "Paris."}, labels=lambda prompt, labels: [0.9, 0.1])
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from ragkit.budget import Meter, Price
from ragkit.errors import ModelError, SchemaError, UnsupportedError, UsageError
from ragkit.identity import content_hash
from ragkit.inference import DEFAULT_WINDOWS, GREEDY, Sampling, TokenScores, Windows
from ragkit.protocols import Progress, Prompt, Record

Rule = str | Sequence[Any] | Mapping[str, Any] | Callable[[str], Any]
"""What is said to a prompt: always the same; one after the other, the last one for ever; by the first key that the
prompt contains ("" fits all); or by a function of the prompt."""

_NO_RULE = object()
_TOKEN = re.compile(r"\s*\S+|\s+")


class ScriptedLanguageModel:
    """A `LanguageModel` without a model; its tokens are words with the white space before them.

    `calls` holds what it was asked: (ability, prompt) in order. An ability without a script raises UnsupportedError,
    a prompt that no rule fits ModelError, and so does one that is longer than `window`.

    >>> from ragkit.protocols import Segment
    >>> ScriptedLanguageModel({"capital": "Paris."}).generate([Segment("The capital?")], max_tokens=5)
    'Paris.'
    """

    cheap = True
    """The disk cache leaves it alone."""
    template_tokens = 0

    def __init__(
        self,
        replies: Rule | None = None,
        *,
        records: Rule | None = None,
        scores: Callable[[str, str], Sequence[float]] | None = None,
        labels: Callable[[str, Sequence[str]], Sequence[float]] | None = None,
        name: str = "scripted",
        window: int = 8192,
        price: Price | None = None,
    ) -> None:
        """Take the scripts: `records` gives JSON texts, mappings or instances, `scores` the NLL of each token of
        (text, context), `labels` the probability of each label after a prompt. Exceptions among them are raised.
        """  # noqa: D205 - one sentence
        self.name = name
        self.fingerprint = content_hash("scripted language model", name=name)
        self.window = window
        self.calls: list[tuple[str, str]] = []
        self._replies = replies
        self._records = records
        self._scores = scores
        self._labels = labels
        self._price = price
        self._said: dict[str, int] = {}

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return [len(_TOKEN.findall(text)) for text in texts]

    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,  # noqa: ARG002 - a script is not drawn
    ) -> str:
        """Return what the script says to `prompt`, cut off after `max_tokens` words."""
        rule = self._scripted("generate", self._replies, "replies")
        said = str(self._by("generate", rule, self._read("generate", prompt, max_tokens, meter)))
        reply = "".join(_TOKEN.findall(said)[:max_tokens])
        self._spend(meter, "generate", 0, self.count([reply])[0])
        return reply

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
    ) -> list[str]:
        """Return what the script says to each prompt."""
        replies = []
        for prompt in prompts:
            replies.append(self.generate(prompt, max_tokens=max_tokens, meter=meter, sampling=sampling))
            _report(progress, "generate", len(replies), len(prompts))
        return replies

    def generate_records(
        self,
        prompts: Sequence[Prompt],
        schema: type[Record],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,  # noqa: ARG002 - a script is not drawn
        progress: Progress | None = None,
    ) -> list[Record]:
        """Return the scripted record for each prompt; raise SchemaError where it does not fit `schema`."""
        found = []
        for prompt in prompts:
            rule = self._scripted("records", self._records, "records")
            found.append(_record(self._by("records", rule, self._read("records", prompt, max_tokens, meter)), schema))
            _report(progress, "generate", len(found), len(prompts))
        return found

    def score(
        self,
        texts: Sequence[str],
        *,
        contexts: Sequence[str] | None = None,
        windows: Windows = DEFAULT_WINDOWS,  # noqa: ARG002 - a script sees the whole text
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> list[TokenScores]:
        """Return the scripted scores of each text; raise UsageError unless there is one for each of its tokens."""
        if self._scores is None:
            raise _unscripted("score", "scores")
        found = []
        for text, context in zip(texts, contexts or [""] * len(texts), strict=True):
            self.calls.append(("score", text))
            spans = np.array([match.span() for match in _TOKEN.finditer(text)], dtype=np.int64).reshape(-1, 2)
            self._spend(meter, "score", len(spans), 0, calls=1)
            values = np.asarray(self._scores(text, context), dtype=np.float32)
            if values.shape != (len(spans),):
                raise UsageError(
                    f"The script gives {values.size} scores to a text of {len(spans)} tokens: {text[:60]!r}.",
                    hint="Give one for each word; model.count([text]) tells how many.",
                )
            found.append(TokenScores(spans, values))
            _report(progress, "score", len(found), len(texts))
        return found

    def label_probabilities(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Return the scripted probability of each label after each prompt, shape (prompts, labels)."""
        if self._labels is None:
            raise _unscripted("label_probabilities", "labels")
        found = np.zeros((len(prompts), len(labels)))
        for row, prompt in enumerate(prompts):
            text = self._read("labels", prompt, 1, meter)
            found[row] = self._labels(text, labels)
            _report(progress, "labels", row + 1, len(prompts))
        return found

    def _scripted(self, ability: str, rule: Rule | None, option: str) -> Rule:
        if rule is None:
            raise _unscripted(ability, option)
        return rule

    def _by(self, ability: str, rule: Rule, text: str) -> Any:
        if isinstance(rule, str):
            said: Any = rule
        elif isinstance(rule, Mapping):
            said = next((said for key, said in rule.items() if key in text), _NO_RULE)
        elif callable(rule):
            said = rule(text)
        else:
            turn = self._said[ability] = self._said.get(ability, 0) + 1
            said = rule[min(turn, len(rule)) - 1]
        if said is _NO_RULE:
            raise ModelError(f"No rule fits the prompt {text[-80:]!r}.", hint='Add the rule {"": ...} for all others.')
        if isinstance(said, BaseException):
            raise said
        return said

    def _read(self, ability: str, prompt: Prompt, max_tokens: int, meter: Meter | None) -> str:
        """Return the text of `prompt` after noting, checking and charging it."""
        text = "".join(segment.text for segment in prompt)
        self.calls.append((ability, text))
        (tokens,) = self.count([text])
        if tokens + max_tokens > self.window:
            raise ModelError(
                f"The prompt has {tokens} tokens and the answer may have {max_tokens}; together {self.name} reads "
                f"{self.window}.",
                hint="Give a shorter prompt, or a larger window to the scripted model.",
            )
        self._spend(meter, "generate" if ability == "records" else ability, tokens, 0, calls=1)
        return text

    def _spend(self, meter: Meter | None, stage: str, prompt: int, reply: int, *, calls: int = 0) -> None:
        if meter is not None:
            dollars = None if self._price is None else self._price.dollars(prompt, reply)
            meter.spend(stage, prompt_tokens=prompt, reply_tokens=reply, calls=calls, dollars=dollars)


def _report(progress: Progress | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(stage, done, total)


def _record(said: Any, schema: type[Record]) -> Record:
    try:
        if isinstance(said, str):
            return schema.model_validate_json(said)
        return schema.model_validate(said.model_dump() if isinstance(said, BaseModel) else said)
    except ValidationError as error:
        raise SchemaError(
            f"The script says what does not fit {schema.__name__}: {error.errors()[0]['msg']}.",
            hint="Script a record of that schema.",
            reply=str(said),
        ) from error


def _unscripted(ability: str, option: str) -> UnsupportedError:
    return UnsupportedError(
        f"The scripted model has no script for {ability}.", hint=f"Make it with {option}=..., or use a local model."
    )
