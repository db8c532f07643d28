"""The answers of systems to all questions, from their selections: the code of `ragkit ask`, in bulk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from ragkit.answering.answer import Asked, finish, plain, prepare
from ragkit.answering.prompt import prompt_tokens
from ragkit.budget import Budget
from ragkit.errors import ModelError
from ragkit.eval.experiment.code import code_hash
from ragkit.eval.experiment.metering import MeteredModel
from ragkit.eval.experiment.retrieval import Run
from ragkit.eval.experiment.room import Room
from ragkit.eval.experiment.specification import SourceOrder
from ragkit.eval.experiment.store import Store, key
from ragkit.eval.experiment.systems import Context
from ragkit.eval.results import AnswerRecord, Call, SystemHits
from ragkit.eval.types import EvalSet, Query
from ragkit.identity import content_hash
from ragkit.protocols import LanguageModel, Prompt, Segment
from ragkit.schema import Chunk, Document, Hit, Selection
from ragkit.selectors.fitting import Fitting

CLOSED_BOOK = "Answer briefly.\n\nQuestion: {question}"
"""What is asked without any source."""

BATCH = 512
"""Prompts put to a model in one call; what an interrupted run loses, unless the model's own cache has it."""

_RECORDS = TypeAdapter(list[AnswerRecord])


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one system, one for each query, in order; `key` names all that they depend on."""

    key: str
    records: list[AnswerRecord]
    from_cache: int
    """How many of the model's replies were not computed in this run."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one system answers from: the hits of `run`, which a selector chose or which are yet to be fitted."""

    run: Run
    context: Context
    selected: bool
    room: Room
    order: SourceOrder | None = None


@dataclass(frozen=True, slots=True)
class Answerer:
    """A language model that answers, and how it is asked; answers of equal models to equal prompts are one."""

    metered: MeteredModel
    max_tokens: int
    store: Store

    @property
    def model(self) -> LanguageModel:
        """The model itself."""
        return self.metered.model

    def answers(self, evalset: EvalSet, jobs: Sequence[Job], done: Callable[[int], None]) -> list[Answers]:
        """Return the answers of each job to every question; `done` is called with numbers of questions.

        The prompts of all jobs go to the model together. Raises what the model raises; replies until then are kept.
        """
        names = [self._key(job) for job in jobs]
        known = self.store.get(names)
        found: dict[int, Answers] = {}
        asked: dict[int, list[Asked | str]] = {}
        for place, (job, name) in enumerate(zip(jobs, names, strict=True)):
            if name in known:
                records = _RECORDS.validate_json(known[name])
                found[place] = Answers(name, records, sum(record.call is not None for record in records))
                done(len(records))
            else:
                pairs = zip(evalset.queries, job.run.hits, strict=True)
                asked[place] = [self._asked(evalset, query, hits, job) for query, hits in pairs]
        prompts = {place: [_prompt(item) for item in items] for place, items in asked.items()}
        done(sum(not prompt for some in prompts.values() for prompt in some))
        replies, fresh = self._replies([prompt for some in prompts.values() for prompt in some if prompt], done)
        for place, items in asked.items():
            records = [
                self._record(item, *replies[self._reply_key(prompt)], hits) if prompt else _unasked(item)
                for item, prompt, hits in zip(items, prompts[place], jobs[place].run.hits, strict=True)
            ]
            own = [self._reply_key(prompt) for prompt in prompts[place] if prompt]
            computed = fresh & set(own)
            fresh -= computed  # the first that asked for it paid for it
            self.store.put(names[place], _RECORDS.dump_json(records).decode())
            found[place] = Answers(names[place], records, len(own) - len(computed))
        return [found[place] for place in range(len(jobs))]

    def _key(self, job: Job) -> str:
        return key(
            "answers",
            hits=job.run.key,
            model=self.model.fingerprint,
            context=job.context,
            limits=[*job.room.key(), job.selected],
            order=job.order or "",
            code=code_hash("answering", "selectors", "eval/experiment"),
        )

    def _asked(self, evalset: EvalSet, query: Query, hits: SystemHits, job: Job) -> Asked | str:
        """Return the question made ready for the model, or why it cannot be asked."""
        if job.context == "none":
            prompt = (Segment(CLOSED_BOOK.format(question=query.question.strip())),)
            return Asked(query.question, (), prompt, _closed_trace(self.model, prompt))
        try:
            limit = job.room.limit(query.question)
            given = list(_hits_of(hits, evalset.documents))
            fitting, ranked = Fitting.of(given, limit, self.model.count)
            if given and min(fitting.costs.values()) > limit:
                return f"none of the {len(given)} sources fits into {limit} tokens"
            if job.selected:
                selection = Selection(tuple(given), ordered=hits.ordered)
            else:
                for hit in ranked:
                    fitting.take(hit)
                selection = fitting.selection()
            if job.order is not None:
                selection = _shown_in(job.order, selection)
            return prepare(query.question, selection, self.model, max_tokens=self.max_tokens)
        except ModelError as error:
            return error.message

    def _replies(
        self, prompts: Sequence[Prompt], done: Callable[[int], None]
    ) -> tuple[dict[str, tuple[str, Call]], set[str]]:
        """Return reply and cost of each prompt by its key, and those computed now; equal prompts are asked once."""
        names = [self._reply_key(prompt) for prompt in prompts]
        times = Counter(names)
        known = self.store.get(names)
        missing = {name: prompt for name, prompt in zip(names, prompts, strict=True) if name not in known}
        done(sum(times[name] for name in known))
        fresh: set[str] = set()
        waiting = list(missing.items())
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            calls, cached = self._batch([prompt for _, prompt in batch])
            fresh |= {name for name, _ in batch[cached:]}  # which of them a cache answered is not told
            for (name, _), (reply, call) in zip(batch, calls, strict=True):
                known[name] = [reply, call.model_dump()]
                self.store.put(name, known[name])
            self.store.flush()
            done(sum(times[name] for name, _ in batch))
        return {name: (known[name][0], Call.model_validate(known[name][1])) for name in times}, fresh

    def _batch(self, prompts: Sequence[Prompt]) -> tuple[list[tuple[str, Call]], int]:
        """Return reply and cost of each prompt, and how many of them a cache answered."""
        meter = Budget().meter().stage("answer")
        replies, seconds, cached = self.metered.timed(
            lambda: self.model.generate_many(prompts, max_tokens=self.max_tokens, meter=meter), len(prompts)
        )
        counts = self.model.count(replies)
        calls = [Call(prompt_tokens=prompt_tokens(self.model, prompt), reply_tokens=count, seconds=seconds)
                 for prompt, count in zip(prompts, counts, strict=True)]  # fmt: skip
        return list(zip(replies, calls, strict=True)), cached

    def _reply_key(self, prompt: Prompt) -> str:
        texts = [segment.text for segment in prompt]
        return key("reply", model=self.model.fingerprint, prompt=texts, max_tokens=self.max_tokens)

    def _record(self, asked: Asked | str, reply: str, call: Call, hits: SystemHits) -> AnswerRecord:
        if isinstance(asked, str):
            return _unasked(asked)
        answer = finish(asked, reply, self.model)
        shown = {hit.chunk_id for hit in asked.shown}
        places = [place for place, name in enumerate(_ids(hits)) if name in shown]
        return AnswerRecord(
            text=answer.text,
            plain=plain(asked, reply),
            reply=reply,
            citations=[(one.doc_id, one.start, one.end) for one in answer.citations],
            unsupported=list(answer.unsupported),
            shown=sorted(places, key=lambda place: hits.ranks[place]) if hits.ordered and hits.ranks else places,
            call=call,
        )


def _shown_in(order: SourceOrder, selection: Selection) -> Selection:
    """Return `selection` in the order in which a prompt is to show it."""
    hits = list(selection.hits)
    if order == "document":
        hits.sort(key=lambda hit: (hit.source, hit.chunk.doc_id, hit.chunk.start))
    elif selection.ordered:
        hits.sort(key=lambda hit: hit.rank)
    return replace(selection, hits=tuple(hits), ordered=order != "best_last")


def _prompt(item: Asked | str) -> Prompt:
    return item.prompt if isinstance(item, Asked) else ()


def _unasked(item: Asked | str) -> AnswerRecord:
    return AnswerRecord(text=None, failure=item if isinstance(item, str) else "")


def _closed_trace(model: LanguageModel, prompt: Prompt) -> dict[str, Any]:
    return {"model": model.name, "seconds": {}, "prompt_tokens": prompt_tokens(model, prompt)}


def _hits_of(found: SystemHits, documents: Mapping[str, Document]) -> Iterator[Hit]:
    """Yield stored hits as the selector left them."""
    for place, (doc_id, chunk_id) in enumerate(zip(found.documents, _ids(found), strict=True)):
        document = documents[doc_id]
        chunk = Chunk.of(document, *found.spans[place])
        rank = found.ranks[place] if found.ranks else place + 1
        part = found.parts[place] if found.parts else -1
        whole = "" if part < 0 else f"chunk {part}"
        yield Hit(rank, found.scores[place], chunk_id, chunk, document.source, None, None, part_of=whole)


def _ids(found: SystemHits) -> list[str]:
    """Return a name for each hit: equal spans of one document have equal ones."""
    return [
        content_hash("shown span", document=doc_id, start=start, end=end)
        for doc_id, (start, end) in zip(found.documents, found.spans, strict=True)
    ]
