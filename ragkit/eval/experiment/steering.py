"""The answers of systems with a controller: the loop of `ragkit ask`, for many questions side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pydantic import TypeAdapter

from ragkit.answering.cite import without_markers
from ragkit.budget import Budget, Meter
from ragkit.config import PartConfig
from ragkit.controllers.question import PipelineQuestion
from ragkit.controllers.sizes import resized
from ragkit.corpus import SnapshotCorpus
from ragkit.errors import ModelError, ServerError
from ragkit.eval.experiment.code import code_hash
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.gathering import Gathering
from ragkit.eval.experiment.indexes import Built
from ragkit.eval.experiment.meeting import THREADS, Meeting
from ragkit.eval.experiment.metering import MeteredModel
from ragkit.eval.experiment.named_files import named_files
from ragkit.eval.experiment.retrieval import Run, chunk_lengths, keep_run, run_key, stored_hits
from ragkit.eval.experiment.room import Room
from ragkit.eval.experiment.searching import Search, spent_on, thinking_model, within
from ragkit.eval.experiment.store import key
from ragkit.eval.experiment.systems import System, model_part
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.results import AnswerRecord, Call
from ragkit.eval.types import EvalSet, Query
from ragkit.parts import make_controller, make_selector
from ragkit.pipeline import Pipeline
from ragkit.plugins import asks_for
from ragkit.protocols import LanguageModel
from ragkit.schema import Answer, Hit, Selection

_RECORD = TypeAdapter(AnswerRecord)


@dataclass(frozen=True, slots=True)
class Steered:
    """What a system with a controller showed in its final prompts, and its answers, one for each query."""

    run: Run
    records: list[AnswerRecord]
    known: list[AnswerRecord]
    """Those that were known from an earlier run."""


def steered(
    workshop: Workshop,
    index: Built,
    system: System,
    evalset: EvalSet,
    *,
    k: int,
    room: Room,
    done: Callable[[int], None],
) -> Steered:
    """Return the answers of `system` to all queries of `evalset`; those that are known are not computed again."""
    depth = Depth(everything=True)
    common = key(
        "steered",
        run=run_key(workshop, index, system, evalset, k=k, depth=depth, room=room),
        controller=None if system.config.controller is None else system.config.controller.model_dump_json(),
        files=[] if system.config.controller is None else named_files(system.config.controller.options),
        room=room.key(),
        code=code_hash("controllers", "answering", "eval/experiment"),
    )
    names = [key("steered question", common=common, query=query.query_id) for query in evalset.queries]
    found = workshop.store.get(names)
    known = [_RECORD.validate_python(one["record"]) for one in found.values()]
    done(len(known))
    missing = [place for place, name in enumerate(names) if name not in found]
    if missing:
        embedder = workshop.embedder(system.config)
        with Pipeline(index.folder, system.config) as pipeline:
            pipeline.embedder = embedder
            loop = _Loop(Search(workshop, pipeline, system, k, chunk_lengths(index), room), room)
            for place, one in zip(missing, loop.all([evalset.queries[at] for at in missing]), strict=True):
                found[names[place]] = one
                workshop.store.put(names[place], one)
                done(1)
        workshop.store.flush()
    lists = [stored_hits(found[name]["hits"]) for name in names]
    records = [_RECORD.validate_python(found[name]["record"]) for name in names]
    return Steered(keep_run(workshop, common, lists, k=k, depth=depth), records, known)


class _Loop:
    """Asks questions through a controller."""

    def __init__(self, search: Search, room: Room) -> None:
        self._search, self._room = search, room
        self._pipeline, self._system = search.pipeline, search.system
        workshop, system = search.workshop, search.system
        self._meeting = Meeting()
        self._model = self._gathered(lambda: room.metered)
        self._pipeline.language_model = self._model
        controller = system.config.controller
        named = None if controller is None else controller.options.get("model")
        self._thinking = self._model
        if named is not None:
            self._thinking = self._gathered(lambda: workshop.language_model(model_part(named)))
        own = thinking_model(system, room)
        self._selecting = None if own is None else self._gathered(lambda: workshop.language_model(own))

    def all(self, queries: Sequence[Query]) -> Iterator[dict[str, Any]]:
        """Yield hits and answer of each query as they are stored, in order."""
        config = self._system.config
        if asks_for("retrievers", config.retriever.name, "embedder"):
            self._pipeline.embedder.embed_queries([query.question for query in queries])
        for start in range(0, len(queries), THREADS):
            yield from self._meeting.run([partial(self._one, query) for query in queries[start : start + THREADS]])

    def _gathered(self, metered: Callable[[], MeteredModel]) -> LanguageModel:
        return cast(LanguageModel, Gathering(self._meeting, metered))

    def _one(self, query: Query) -> dict[str, Any]:
        meter = Budget().meter()
        pipeline, config = self._pipeline, self._system.config
        chosen, clock = config.selector, _Clock(meter)
        where = None if query.scope is None else within(query.scope)

        def retrieving(question: str, k: int, retriever: str | None) -> list[Hit]:
            with clock:
                return pipeline.retrieve(question, k, where=where, retriever=retriever)

        def selecting(question: str, hits: Sequence[Hit], larger: int) -> Selection:
            part, limit = resized(chosen, larger) if larger else chosen, asking.limit
            with clock:
                return self._selected(part, question, hits, limit, meter)

        asking = PipelineQuestion(
            query.question,
            self._search.k,
            lambda: self._room.limit(query.question),
            meter,
            self._model,
            self._room.max_tokens,
            retrieving,
            selecting,
        )
        try:
            answer = asking.finished(self._controller().control(asking))
        except ServerError:
            raise
        except ModelError as error:
            failed = AnswerRecord(text=None, failure=error.message)
            return {"hits": self._search.stored(Selection(())), "record": failed.model_dump()}
        shown = Selection(tuple(asking.shown(answer)))
        calls, read, written, seconds = spent_on(meter)
        rounds = len(answer.trace.get("controller", {}).get("rounds", [])) or 1
        call = Call(prompt_tokens=read, reply_tokens=written, seconds=seconds, calls=calls, rounds=rounds)
        hits = self._search.stored(shown, seconds=clock.seconds)
        return {"hits": hits, "record": _record(answer, len(shown.hits), call).model_dump()}

    def _selected(self, part: PartConfig, question: str, hits: Sequence[Hit], limit: int, meter: Meter) -> Selection:
        """Return what the selector keeps, asked with the others' where it names a model of its own."""
        model = self._selecting
        if model is None:
            return self._pipeline.select(question, hits, selector=part, limit=limit, meter=meter)
        selector = make_selector(
            self._system.config,
            _without_model(part),
            self._model.count,
            lambda: self._pipeline.embedder,
            language_model=lambda: model,
            meter=meter,
        )
        return selector.select(question, hits, limit, SnapshotCorpus(self._pipeline.snapshot))

    def _controller(self) -> Any:
        """Return the controller, with the gathered model in the place of the one it names."""
        config = self._system.config
        if config.controller is not None:
            config = config.model_copy(update={"controller": _without_model(config.controller)})
        return make_controller(
            config, None, embedder=lambda: self._pipeline.embedder, language_model=lambda: self._thinking
        )


class _Clock:
    """What one thread did within it, in seconds: its own work, and its shares of what models were asked for others too.

    The wall would say how long the thread waited for the other questions.
    """

    def __init__(self, meter: Meter) -> None:
        self.seconds = 0.0
        self._meter = meter

    def __enter__(self) -> None:
        self.seconds -= time.thread_time() + spent_on(self._meter)[3]

    def __exit__(self, *_: object) -> None:
        self.seconds += time.thread_time() + spent_on(self._meter)[3]


def _without_model(part: PartConfig) -> PartConfig:
    options = {name: value for name, value in part.options.items() if name != "model"}
    return part.model_copy(update={"options": options})


def _record(answer: Answer, shown: int, call: Call) -> AnswerRecord:
    text = answer.text if answer.trace.get("model_called", True) else None
    plain = without_markers(answer.text, len(answer.citations)) if text is not None else ""
    return AnswerRecord(
        text=text,
        plain=plain,
        reply=plain,
        citations=[(one.doc_id, one.start, one.end) for one in answer.citations],
        unsupported=list(answer.unsupported),
        shown=list(range(shown)),
        call=call,
    )
