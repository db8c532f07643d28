"""The answers of systems with a controller: the loop of `ragkit ask`, for many questions side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pydantic import TypeAdapter

from ragkit.answering.cite import without_markers
from ragkit.budget import Budget
from ragkit.controllers.question import PipelineQuestion
from ragkit.controllers.sizes import resized
from ragkit.errors import ModelError, ServerError
from ragkit.eval.experiment.code import code_hash
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.gathering import Gathering
from ragkit.eval.experiment.indexes import Built
from ragkit.eval.experiment.meeting import THREADS, Meeting
from ragkit.eval.experiment.metering import MeteredModel
from ragkit.eval.experiment.retrieval import Run, chunk_lengths, keep_run, run_key, stored_hits
from ragkit.eval.experiment.room import Room
from ragkit.eval.experiment.searching import Search, spent_on, within
from ragkit.eval.experiment.store import key
from ragkit.eval.experiment.systems import System, model_part
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.results import AnswerRecord, Call
from ragkit.eval.types import EvalSet, Query
from ragkit.parts import make_controller
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
        chosen = config.selector
        where = None if query.scope is None else within(query.scope)

        def retrieving(question: str, k: int, retriever: str | None) -> list[Hit]:
            return pipeline.retrieve(question, k, where=where, retriever=retriever)

        def selecting(question: str, hits: Sequence[Hit], larger: int) -> Selection:
            part = resized(chosen, larger) if larger else chosen
            return pipeline.select(question, hits, selector=part, limit=asking.limit, meter=meter)

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
        hits = self._search.stored(shown, seconds=sum(asking.seconds.get(step, 0.0) for step in ("retrieve", "select")))
        return {"hits": hits, "record": _record(answer, len(shown.hits), call).model_dump()}

    def _controller(self) -> Any:
        """Return the controller, with the gathered model in the place of the one it names."""
        config = self._system.config
        controller = config.controller
        if controller is not None and "model" in controller.options:
            options = {name: value for name, value in controller.options.items() if name != "model"}
            plain = controller.model_copy(update={"options": options})
            config = config.model_copy(update={"controller": plain})
        return make_controller(
            config, None, embedder=lambda: self._pipeline.embedder, language_model=lambda: self._thinking
        )


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
