"""A language model that answers by script, and a helper that cuts a document at its lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ragkit.errors import ModelError
from ragkit.models.hashing import HashingEmbedder
from ragkit.schema import Chunk, Chunked, Document
from ragkit.testing import ScriptedLanguageModel

Rule = Callable[[str], Any]


class Scripted(ScriptedLanguageModel):
    """The scripted model with rules that a test may exchange, and a list of its bulk calls.

    `text` gives strings, `record` JSON, `margin` P(yes) - P(no) of the probability `mass`; exceptions are raised.
    """

    def __init__(
        self,
        text: Rule = lambda prompt: "",
        record: Rule = lambda prompt: '{"items": []}',
        margin: Rule = lambda prompt: 0.5,
        mass: float = 1.0,
    ) -> None:
        self.text, self.record, self.margin, self.mass = text, record, margin, mass
        self.bulk: list[tuple[str, list[str]]] = []
        super().__init__(self._say, records=self._list, labels=self._judge)

    def generate_many(self, prompts, **options):
        self._note("text", prompts)
        return super().generate_many(prompts, **options)

    def generate_records(self, prompts, schema, **options):
        self._note(schema.__name__, prompts)
        return super().generate_records(prompts, schema, **options)

    def label_probabilities(self, prompts, labels, **options):
        self._note("labels", prompts)
        return super().label_probabilities(prompts, labels, **options)

    def asked(self, kind: str) -> list[str]:
        """Return the prompts of all bulk calls of one kind."""
        return [text for called, texts in self.bulk for text in texts if called == kind]

    def _say(self, prompt: str) -> Any:
        return self.text(prompt)

    def _list(self, prompt: str) -> Any:
        return self.record(prompt)

    def _judge(self, prompt: str, labels: Sequence[str]) -> list[float]:
        assert list(labels) == ["yes", "Yes", "no", "No"]
        margin = self.margin(prompt)
        if isinstance(margin, BaseException):
            raise margin
        yes, no = (self.mass + margin) / 2, (self.mass - margin) / 2
        return [yes / 4, yes * 3 / 4, no, 0.0]

    def _note(self, kind: str, prompts: Sequence[Any]) -> None:
        self.bulk.append((kind, ["".join(segment.text for segment in prompt) for prompt in prompts]))


@pytest.fixture
def embedder() -> HashingEmbedder:
    return HashingEmbedder(dimension=64)


def lines(text: str, source: str = "story.txt") -> Chunked:
    """Return a document whose chunks are its lines."""
    document = Document(text, source=source)
    chunks, at = [], 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            chunks.append(Chunk.of(document, at, at + len(line.rstrip("\n"))))
        at += len(line)
    return Chunked(document, chunks)


STORY = """Ada Lovelace was born in London in 1815.
She wrote 3 notes about the analytical engine.
It was never built, because the money ran out."""


@pytest.fixture
def story() -> Chunked:
    return lines(STORY)


@pytest.fixture
def cut() -> Callable[..., Chunked]:
    return lines


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


def passage_of(prompt: str) -> str:
    """Return the passage that a prompt is about."""
    return prompt.split("PASSAGE:\n", 1)[1].split("\n\n", 1)[0]


@pytest.fixture
def passage() -> Callable[[str], str]:
    return passage_of


@pytest.fixture
def same() -> Callable[[Sequence[Chunked], Sequence[Chunked]], None]:
    """Return a check that spans and texts are as before: nothing but index_text and metadata may change."""

    def check(before: Sequence[Chunked], after: Sequence[Chunked]) -> None:
        assert [item.document for item in after] == [item.document for item in before]
        for old, new in zip(before, after, strict=True):
            assert [(c.doc_id, c.start, c.end, c.text) for c in new.chunks] == [
                (c.doc_id, c.start, c.end, c.text) for c in old.chunks
            ]
            assert all(c.text == old.document.text[c.start : c.end] for c in new.chunks)

    return check


@pytest.fixture
def broken() -> ModelError:
    return ModelError("the weights are gone.")
