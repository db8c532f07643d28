"""A language model at work on the chunks of many documents: what it is shown, asked in bulk, and held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

from ragkit.budget import Budget, Meter
from ragkit.enrichers.asking import Asker, Failed, Question, staged
from ragkit.enrichers.context import Room, shown_documents
from ragkit.enrichers.facts import Vocabulary
from ragkit.enrichers.outcome import Outcome, Passage
from ragkit.errors import ConfigError
from ragkit.protocols import Embedder, LanguageModel, Progress, Prompt, Segment
from ragkit.schema import Chunk, Chunked

Reply = TypeVar("Reply")

_INSTRUCTION_TOKENS = 160
"""Kept for labels and instruction around document and passage, above what any prompt has."""
_LEAST_ROOM = 64
"""Tokens of document and passage below which a model is of no use."""


@dataclass(slots=True)
class Writer:
    """The model, the embedder whose window the index text must fit, and the limits.

    `document_tokens` caps what is shown of a document, `min_characters` is the shortest chunk that is asked about, and
    `budget` limits all calls together. Raises ConfigError for limits that are not positive.
    """

    model: LanguageModel
    embedder: Embedder
    document_tokens: int
    min_characters: int
    budget: Budget
    progress: Progress | None = field(default=None, init=False)
    _running: Meter | None = field(default=None, init=False)
    _asker: Asker = field(init=False)

    def __post_init__(self) -> None:
        self._asker = Asker(self._probe)
        for option, value, least in (
            ("document_tokens", self.document_tokens, 1),
            ("min_characters", self.min_characters, 0),
        ):
            check_least(option, value, least)

    def passages(
        self,
        batch: Sequence[Chunked],
        outcome: Outcome,
        *,
        reply: int,
        text_of: Callable[[Chunk], str],
        after_first: bool = False,
    ) -> list[Passage]:
        """Return the chunks to ask about, with what the model is shown; the others are noted as skipped.

        `reply` is the longest reply, in tokens. Raises ConfigError where the model's window leaves no room at all.
        """
        room = Room.of(self.model, reply, self.document_tokens)
        if room.prompt < _INSTRUCTION_TOKENS + _LEAST_ROOM:
            raise ConfigError(
                f"{self.model.name} reads {self.model.window} tokens; beside a reply of {reply} no document fits.",
                hint="Name a model with a longer window, or allow shorter replies.",
            )
        found: list[Passage] = []
        for number, chunked in enumerate(batch):
            asked = []
            for place, chunk in enumerate(chunked.chunks):
                if after_first and place == 0:
                    outcome.note(number, place, "skipped: first chunk of its document")
                elif len(chunk.text) < self.min_characters:
                    outcome.note(number, place, f"skipped: shorter than {self.min_characters} characters")
                else:
                    asked.append(place)
            if not asked:
                continue
            texts = [text_of(chunked.chunks[place]) for place in asked]
            shown = shown_documents(
                chunked, asked, texts, self.model, self.embedder, room, instruction=_INSTRUCTION_TOKENS
            )
            for place, text, document in zip(asked, texts, shown, strict=True):
                if document is None:
                    outcome.note(number, place, "skipped: too long for the model's window")
                else:
                    found.append(Passage(number, place, document, text))
        return found

    def ask(
        self,
        stage: str,
        call: Callable[[list[Prompt], Meter, Progress | None], Sequence[Reply]],
        about: Sequence[tuple[Passage, Prompt]],
        outcome: Outcome,
    ) -> list[tuple[Passage, Reply | Failed]]:
        """Return the passages whose document is still whole, each with the reply or why it is of no use."""
        asked = [(passage, prompt) for passage, prompt in about if not outcome.failed(passage.document)]
        questions = [Question(passage.document, prompt) for passage, prompt in asked]
        meter, report = self._meter.stage(stage), staged(self.progress, stage)
        replies = self._asker.ask(lambda prompts: call(prompts, meter, report), questions)
        for (passage, _), reply in zip(asked, replies, strict=True):
            if isinstance(reply, Failed) and reply.model:
                outcome.fail(passage.document, reply.reason)
        return [
            (passage, reply)
            for (passage, _), reply in zip(asked, replies, strict=True)
            if not outcome.failed(passage.document)
        ]

    def write(
        self,
        stage: str,
        about: Sequence[tuple[Passage, Prompt]],
        outcome: Outcome,
        *,
        max_tokens: int,
    ) -> list[tuple[Passage, str | Failed]]:
        """Return the model's text for each prompt."""
        return self.ask(
            stage,
            lambda prompts, meter, report: self.model.generate_many(
                prompts, max_tokens=max_tokens, meter=meter, progress=report
            ),
            about,
            outcome,
        )

    def _probe(self) -> None:
        """Ask something that no cache knows."""
        self.model.generate(
            [Segment(f"Is this model there? {uuid4()}")], max_tokens=1, meter=self._meter.stage("probe")
        )

    @property
    def _meter(self) -> Meter:
        """The meter of the budget; its clock starts with the first question."""
        if self._running is None:
            self._running = self.budget.meter()
        return self._running

    def fitting(self, texts: Sequence[str]) -> list[bool]:
        """Return whether each index text fits the embedder's window, so that nothing of the chunk is pushed out."""
        return [count <= self.embedder.window for count in self.embedder.tokenizer.count(texts)]


class Vocabularies:
    """The vocabulary of each document of a batch, made when it is first needed."""

    def __init__(self, batch: Sequence[Chunked]) -> None:
        """Serve the documents of `batch`."""
        self._batch = batch
        self._made: dict[int, Vocabulary] = {}

    def of(self, document: int) -> Vocabulary:
        """Return what the document of that number backs."""
        if document not in self._made:
            self._made[document] = Vocabulary(self._batch[document].document.text)
        return self._made[document]


def check_least(option: str, value: int, least: int) -> None:
    """Raise ConfigError where `value` is below `least`."""
    if value < least:
        raise ConfigError(f"{option} is {value}; expected at least {least}.", hint=f"Raise {option}.")
