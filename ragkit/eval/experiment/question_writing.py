"""How a language model is asked for questions: by records with evidence, or in plain text by models without records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from ragkit.budget import Meter
from ragkit.errors import SchemaError, UnsupportedError
from ragkit.eval.experiment.store import Store, key
from ragkit.protocols import LanguageModel, Segment

_PROMPT_VERSION = 4
_MAX_TOKENS = 48
_RECORD_TOKENS = 160

_TASK = """\
CONTEXT: {context}

FACT: {fact}

Write one short question that the FACT answers. Ask for a single thing. Use other words than the FACT where you can.
The question must make sense to someone who has not seen the FACT. """

_PLAIN = f"{_TASK}Reply with the question only.\n\nQuestion:"

_RECORD = """\
{context}

Someone wants to know about this: {fact}

Write the short question that they ask, without seeing any of this, in words of their own. Then copy, character by
character, the words above that answer it, and say which kind of question it is."""
"""No example: a small model repeats it."""


class QuestionRecord(BaseModel):
    """What a model writes: a question, the words that answer it, and what is asked for."""

    question: str = Field(min_length=8, max_length=140)
    evidence: str = Field(min_length=8, max_length=240)
    kind: Literal["who", "what", "when", "where", "why", "how", "how many", "yes or no"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What came back for one fact; without `evidence` it is the fact itself, without `question` nothing fits."""

    question: str
    evidence: str = ""
    kind: str = ""


class QuestionWriter:
    """Asks `model` about many facts at once; what was asked before comes from `store`."""

    def __init__(self, model: LanguageModel, store: Store, meter: Meter | None) -> None:
        """Ask `model`, whose work `meter` counts."""
        self._model, self._store, self._meter = model, store, meter
        self._writes_records = True

    def written(self, facts: Sequence[tuple[str, str]]) -> list[Asked]:
        """Return what the model writes about each (context, fact).

        A model without records is asked in plain text, and the fact is the evidence. Raises BudgetExceededError; what
        the model has written until then is in its cache.
        """
        if self._writes_records:
            try:
                return self._records([_RECORD.format(context=context, fact=fact) for context, fact in facts])
            except UnsupportedError:
                self._writes_records = False
        return [self._plain(_PLAIN.format(context=context, fact=fact)) for context, fact in facts]

    def without_records(self) -> None:
        """Ask in plain text from now on: for a model whose records are of no use."""
        self._writes_records = False

    @property
    def writes_records(self) -> bool:
        """Whether the model is asked for records."""
        return self._writes_records

    def _records(self, prompts: Sequence[str]) -> list[Asked]:
        keys = [self._key("question record", prompt, _RECORD_TOKENS) for prompt in prompts]
        known = self._store.get(keys)
        missing = [place for place, name in enumerate(keys) if name not in known]
        for place, reply in zip(missing, self._replies([prompts[place] for place in missing]), strict=True):
            known[keys[place]] = reply
            self._store.put(keys[place], reply)
        return [_asked(known[name]) for name in keys]

    def _replies(self, prompts: Sequence[str]) -> list[dict[str, str]]:
        """Return the records as objects, an empty one for a prompt that no record came back for."""
        try:
            found = self._generated(prompts)
        except SchemaError:
            # what else was written is in the model's cache: asking one by one shows which one has no record
            return [reply for prompt in prompts for reply in self._alone(prompt)]
        return [record.model_dump() for record in found]

    def _alone(self, prompt: str) -> list[dict[str, str]]:
        try:
            return [record.model_dump() for record in self._generated([prompt])]
        except SchemaError:
            return [{}]

    def _generated(self, prompts: Sequence[str]) -> list[QuestionRecord]:
        asked = [[Segment(prompt)] for prompt in prompts]
        if not asked:
            return []
        return self._model.generate_records(asked, QuestionRecord, max_tokens=_RECORD_TOKENS, meter=self._meter)

    def _plain(self, prompt: str) -> Asked:
        known = self._key("question", prompt, _MAX_TOKENS)
        found = self._store.get([known]).get(known)
        if found is None:
            found = self._model.generate([Segment(prompt)], max_tokens=_MAX_TOKENS, meter=self._meter)
            self._store.put(known, found)
        return Asked(_cleaned(str(found)))

    def _key(self, kind: str, prompt: str, tokens: int) -> str:
        return key(kind, model=self._model.fingerprint, prompt=prompt, version=_PROMPT_VERSION, tokens=tokens)


def _asked(reply: object) -> Asked:
    try:
        record = QuestionRecord.model_validate(reply)
    except ValidationError:
        return Asked("")
    return Asked(" ".join(record.question.split()), record.evidence, record.kind)


def _cleaned(reply: str) -> str:
    """Return the question in a reply: its last line that asks something, without a leading label."""
    asked = [line.strip() for line in reply.splitlines() if line.strip().endswith(("?", "？"))]
    line = asked[-1] if asked else reply.strip()
    return re.sub(r"^(\W*question\W*:|[-*\d.]+\s)\s*", "", line, flags=re.I).strip(' "')
