"""A language model that is asked for many questions at once, for selectors and controllers that ask about one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.answering.prompt import prompt_tokens
from ragkit.budget import Meter, Price
from ragkit.errors import SchemaError
from ragkit.eval.experiment.meeting import Call, Meeting
from ragkit.eval.experiment.metering import MeteredModel
from ragkit.inference import DEFAULT_WINDOWS, GREEDY, Sampling, TokenScores, Windows
from ragkit.protocols import LanguageModel, Progress, Prompt, Record


class Gathering:
    """A `LanguageModel` for the tasks of `meeting`.

    A meter is charged the tokens of a call's own prompts and replies, and its share of the seconds; what a cache
    answered counts as if it had been computed.
    """

    def __init__(self, meeting: Meeting, metered: Callable[[], MeteredModel]) -> None:
        """Ask the model that `metered` returns when it is first needed."""
        self._meeting = meeting
        self._make = metered

    def __getattr__(self, attribute: str) -> Any:
        """Return what only the model itself has, such as `template_tokens`."""
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        return getattr(self._model, attribute)

    @cached_property
    def _metered(self) -> MeteredModel:
        return self._make()

    @property
    def _model(self) -> LanguageModel:
        return self._metered.model

    @cached_property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @cached_property
    def fingerprint(self) -> str:
        """The model's fingerprint."""
        return self._model.fingerprint

    @cached_property
    def window(self) -> int:
        """Tokens of prompt and reply together."""
        return self._model.window

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text for this model."""
        return self._model.count(texts)

    def generate(
        self, prompt: Prompt, *, max_tokens: int, meter: Meter | None = None, sampling: Sampling = GREEDY
    ) -> str:
        """Return the model's reply to `prompt`."""
        return self.generate_many([prompt], max_tokens=max_tokens, meter=meter, sampling=sampling)[0]

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,  # noqa: ARG002 - a share of a call has none
    ) -> list[str]:
        """Return the reply to each prompt."""

        def bulk(asked: Sequence[Any]) -> Sequence[Any]:
            return self._model.generate_many(asked, max_tokens=max_tokens, sampling=sampling)

        call = Call(self._metered, ("generate", max_tokens, sampling), prompts, bulk)
        return self._asked(call, meter, "generate")

    def generate_records(
        self,
        prompts: Sequence[Prompt],
        schema: type[Record],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,  # noqa: ARG002 - as above
    ) -> list[Record]:
        """Return one instance of `schema` for each prompt; a reply that does not fit fails its own call alone."""

        def bulk(asked: Sequence[Any]) -> Sequence[Any]:
            return self._model.generate_records(asked, schema, max_tokens=max_tokens, sampling=sampling)

        call = Call(self._metered, ("records", schema, max_tokens, sampling), prompts, bulk)
        return self._asked(call, meter, "generate", lambda record: str(record.model_dump_json()))

    def score(
        self,
        texts: Sequence[str],
        *,
        contexts: Sequence[str] | None = None,
        windows: Windows = DEFAULT_WINDOWS,
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> list[TokenScores]:
        """Return the scores of every token of each text, given the context of the same place; asked alone."""
        return self._model.score(texts, contexts=contexts, windows=windows, meter=meter, progress=progress)

    def label_probabilities(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,  # noqa: ARG002 - as above
    ) -> NDArray[np.float64]:
        """Return the probability of each label right after each prompt, shape (prompts, labels)."""

        def bulk(asked: Sequence[Any]) -> Sequence[Any]:
            return list(self._model.label_probabilities(asked, labels))

        call = Call(self._metered, ("labels", *labels), prompts, bulk)
        rows = self._asked(call, meter, "labels", lambda _: "")
        return np.array(rows, np.float64).reshape(len(prompts), len(labels))

    def _asked(self, call: Call, meter: Meter | None, stage: str, said: Callable[[Any], str] = str) -> list[Any]:
        """Return what the call finds, and charge the meter."""
        if not call.items:
            return []
        try:
            self._meeting.ask(call)
        except SchemaError as error:  # they were written all the same; the others are charged when they are asked again
            failed = error.failed or ({0: error} if len(call.items) == 1 else {})
            self._charge(call, meter, stage, [call.items[at] for at in failed], [one.reply for one in failed.values()])
            raise
        self._charge(call, meter, stage, call.items, [said(one) for one in call.found])
        return list(call.found)

    def _charge(
        self, call: Call, meter: Meter | None, stage: str, prompts: Sequence[Prompt], replies: Sequence[str]
    ) -> None:
        if meter is None or not prompts:
            return
        read = sum(prompt_tokens(self._model, prompt) for prompt in prompts)
        written = sum(self._model.count(replies))
        price = call.metered.record.price
        meter.record(
            stage,
            calls=len(prompts),
            prompt_tokens=read,
            reply_tokens=written,
            dollars=None if price is None else Price(*price).dollars(read, written),
            seconds=call.seconds,
        )
