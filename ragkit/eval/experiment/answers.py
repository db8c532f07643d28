"""The answers of a system to all questions, from its hits: the code of `ragkit ask`, in bulk; known ones are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from ragkit.answering.answer import Asked, finish, plain, prepare
from ragkit.answering.prompt import prompt_tokens, source_limit
from ragkit.budget import Budget
from ragkit.errors import ModelError
from ragkit.eval.experiment.code import code_hash
from ragkit.eval.experiment.metering import MeteredModel
from ragkit.eval.experiment.retrieval import Run
from ragkit.eval.experiment.specification import AnswerSpec
from ragkit.eval.experiment.store import Store, key
from ragkit.eval.experiment.systems import Context
from ragkit.eval.results import AnswerRecord, Call, SystemHits
from ragkit.eval.types import EvalSet, Query
from ragkit.identity import content_hash
from ragkit.protocols import LanguageModel, Prompt, Segment
from ragkit.schema import Chunk, Document, Hit
from ragkit.selectors.fitting import Fitting

CLOSED_BOOK = "Answer briefly.\n\nQuestion: {question}"
"""What is asked without any source."""

BATCH = 64
"""Questions put to a model in one call; what an interrupted run loses, unless the model's own cache has it."""

_RECORDS = TypeAdapter(list[AnswerRecord])


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one system, one for each query, in order; `key` names all that they depend on."""

    key: str
    records: list[AnswerRecord]
    from_cache: int
    """How many of the model's replies were not computed in this run."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """A language model that answers, and how it is asked; answers of equal models to equal prompts are one."""

    metered: MeteredModel
    spec: AnswerSpec
    store: Store

    @property
    def model(self) -> LanguageModel:
        """The model itself."""
        return self.metered.model

    def answers(self, evalset: EvalSet, run: Run, context: Context, done: Callable[[int], None]) -> Answers:
        """Return the answer to every question from the hits of `run`; `done` is called with numbers of questions.

        Raises what the model raises; all replies until then are kept.
        """
        name = key(
            "answers",
            hits=run.key,
            model=self.model.fingerprint,
            context=context,
            limits=[self.spec.max_tokens, self.spec.budget_tokens],
            code=code_hash("answering", "selectors", "eval/experiment"),
        )
        found = self.store.get([name]).get(name)
        if found is not None:
            records = _RECORDS.validate_json(found)
            done(len(records))
            return Answers(name, records, sum(record.call is not None for record in records))
        asked = [self._asked(evalset, *pair, context) for pair in zip(evalset.queries, run.hits, strict=True)]
        prompts = [item.prompt if isinstance(item, Asked) else () for item in asked]
        done(sum(not prompt for prompt in prompts))
        replies, from_cache = self._replies([prompt for prompt in prompts if prompt], done)
        following = iter(replies)
        records = [
            self._record(item, *next(following), hits) if prompt else _unasked(item)
            for item, prompt, hits in zip(asked, prompts, run.hits, strict=True)
        ]
        self.store.put(name, _RECORDS.dump_json(records).decode())
        return Answers(name, records, from_cache)

    def _asked(self, evalset: EvalSet, query: Query, hits: SystemHits, context: Context) -> Asked | str:
        """Return the question made ready for the model, or why it cannot be asked."""
        if context == "none":
            prompt = (Segment(CLOSED_BOOK.format(question=query.question.strip())),)
            return Asked(query.question, (), prompt, _closed_trace(self.model, prompt))
        try:
            limit = source_limit(self.model, query.question, self.spec.max_tokens)
            limit = min(limit, self.spec.budget_tokens or limit)
            fitting, ranked = Fitting.of(list(_hits_of(hits, evalset.documents)), limit, self.model.count)
            for hit in ranked:
                fitting.take(hit)
            selection = fitting.selection()
            if hits.documents and not selection.hits:
                return f"none of the {len(hits.documents)} sources fits into {limit} tokens"
            return prepare(query.question, selection, self.model, max_tokens=self.spec.max_tokens)
        except ModelError as error:
            return error.message

    def _replies(self, prompts: Sequence[Prompt], done: Callable[[int], None]) -> tuple[list[tuple[str, Call]], int]:
        """Return reply and cost of each prompt, and how many of them are from a cache; equal prompts are asked once."""
        names = [self._reply_key(prompt) for prompt in prompts]
        known = self.store.get(names)
        missing = {name: prompt for name, prompt in zip(names, prompts, strict=True) if name not in known}
        done(len(prompts) - len(missing))
        computed = 0
        waiting = list(missing.items())
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            calls, fresh = self._batch([prompt for _, prompt in batch])
            computed += fresh
            for (name, _), (reply, call) in zip(batch, calls, strict=True):
                known[name] = [reply, call.model_dump()]
                self.store.put(name, known[name])
            self.store.flush()
            done(len(batch))
        return [(known[name][0], Call.model_validate(known[name][1])) for name in names], len(prompts) - computed

    def _batch(self, prompts: Sequence[Prompt]) -> tuple[list[tuple[str, Call]], int]:
        """Return reply and cost of each prompt, and how many of them the model computed."""
        meter = Budget().meter().stage("answer")
        replies, seconds, cached = self.metered.timed(
            lambda: self.model.generate_many(prompts, max_tokens=self.spec.max_tokens, meter=meter), len(prompts)
        )
        counts = self.model.count(replies)
        calls = [Call(prompt_tokens=prompt_tokens(self.model, prompt), reply_tokens=count, seconds=seconds)
                 for prompt, count in zip(prompts, counts, strict=True)]  # fmt: skip
        return list(zip(replies, calls, strict=True)), len(prompts) - cached

    def _reply_key(self, prompt: Prompt) -> str:
        texts = [segment.text for segment in prompt]
        return key("reply", model=self.model.fingerprint, prompt=texts, max_tokens=self.spec.max_tokens)

    def _record(self, asked: Asked | str, reply: str, call: Call, hits: SystemHits) -> AnswerRecord:
        if isinstance(asked, str):
            return _unasked(asked)
        answer = finish(asked, reply, self.model)
        places = {chunk_id: place for place, chunk_id in enumerate(_ids(hits))}
        return AnswerRecord(
            text=answer.text,
            plain=plain(asked, reply),
            reply=reply,
            citations=[(one.doc_id, one.start, one.end) for one in answer.citations],
            unsupported=list(answer.unsupported),
            shown=[places[hit.chunk_id] for hit in reversed(asked.shown)],
            call=call,
        )


def _unasked(item: Asked | str) -> AnswerRecord:
    return AnswerRecord(text=None, failure=item if isinstance(item, str) else "")


def _closed_trace(model: LanguageModel, prompt: Prompt) -> dict[str, Any]:
    return {"model": model.name, "seconds": {}, "prompt_tokens": prompt_tokens(model, prompt)}


def _hits_of(found: SystemHits, documents: Mapping[str, Document]) -> Iterator[Hit]:
    """Yield stored hits as a selector takes them."""
    for place, (doc_id, chunk_id) in enumerate(zip(found.documents, _ids(found), strict=True)):
        document = documents[doc_id]
        chunk = Chunk.of(document, *found.spans[place])
        yield Hit(place + 1, found.scores[place], chunk_id, chunk, document.source, None, None)


def _ids(found: SystemHits) -> list[str]:
    """Return a name for each hit: equal spans of one document have equal ones."""
    return [
        content_hash("shown span", document=doc_id, start=start, end=end)
        for doc_id, (start, end) in zip(found.documents, found.spans, strict=True)
    ]
