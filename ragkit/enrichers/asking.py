"""Bulk calls of a language model in which one failing document does not take the others with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from ragkit.errors import ModelError, SchemaError, ServerError
from ragkit.protocols import Progress, Prompt

Reply = TypeVar("Reply")

PATIENCE = 3
"""Documents in a row that the model may fail on before it is the model that is broken, not the documents."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and the number of the document it is about."""

    document: int
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no reply; `model` says that the model failed, not that its reply was of no use."""

    reason: str
    model: bool


class Asker:
    """Asks in bulk; where that fails, document by document, and reply by reply where a reply does not fit its schema.

    What was answered before a failure comes from the model's cache the second time. An index without what was asked
    for must not be built in silence because a server is down: the error is raised where every request would meet it,
    where the model fails on a harmless question too, and with `PATIENCE` documents in a row. Spent budgets, wrong use
    and interrupts are raised at once.
    """

    def __init__(self, probe: Callable[[], object]) -> None:
        """Count failures anew; `probe` asks the model something harmless."""
        self._in_a_row = 0
        self._probe = probe

    def ask(
        self, call: Callable[[list[Prompt]], Sequence[Reply]], questions: Sequence[Question]
    ) -> list[Reply | Failed]:
        """Return the reply to each question, in order, or why there is none; questions of one document are together."""
        if not questions:
            return []
        try:
            replies: list[Reply | Failed] = [*call([question.prompt for question in questions])]
        except ModelError as error:
            if isinstance(error, ServerError) and error.fails == "server":
                raise
            replies = []
            for _, group in groupby(questions, key=lambda question: question.document):
                replies += self._of_document(call, [question.prompt for question in group])
        else:
            self._in_a_row = 0
        return replies

    def _of_document(
        self, call: Callable[[list[Prompt]], Sequence[Reply]], prompts: list[Prompt]
    ) -> list[Reply | Failed]:
        try:
            replies: list[Reply | Failed] = [*call(prompts)]
        except SchemaError as error:
            if len(prompts) == 1:
                return [Failed(f"the reply does not fit its schema: {error.message}", model=False)]
            return [reply for prompt in prompts for reply in self._of_document(call, [prompt])]
        except ModelError as error:
            self._in_a_row += 1
            if self._in_a_row >= PATIENCE:
                raise
            self._check_model(error)
            return [Failed(error.message, model=True)] * len(prompts)
        self._in_a_row = 0
        return replies

    def _check_model(self, error: ModelError) -> None:
        """Raise `error` where the model does not answer anything at all."""
        if self._in_a_row > 1:  # found well after the document before
            return
        try:
            self._probe()
        except ModelError:
            raise error from None


def staged(progress: Progress | None, stage: str) -> Progress | None:
    """Return `progress` under the name `stage`, whatever the model calls what it does."""
    if progress is None:
        return None
    report = progress

    def renamed(_: str, done: int, total: int | None) -> None:
        report(stage, done, total)

    return renamed
