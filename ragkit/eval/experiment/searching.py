"""What a system finds for one question and keeps of it, as stores take it; in bulk where a selector asks a model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast

from ragkit.budget import Budget, Meter
from ragkit.config import PartConfig
from ragkit.corpus import SnapshotCorpus
from ragkit.errors import ModelError
from ragkit.eval.experiment.gathering import Gathering
from ragkit.eval.experiment.meeting import THREADS, Meeting
from ragkit.eval.experiment.room import Room
from ragkit.eval.experiment.systems import System, model_part
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.types import Query
from ragkit.parts import make_selector
from ragkit.pipeline import Pipeline
from ragkit.plugins import asks_for
from ragkit.protocols import LanguageModel, Selector
from ragkit.schema import Chunk, Hit, Selection

Lengths = dict[tuple[str, int, int], int]
"""Document, start and end of a chunk -> its tokens."""

Asked = tuple[int, int, int, float]
"""Calls of language models, tokens of their prompts and replies, seconds."""


def within(scope: str) -> str:
    """Return the filter that keeps the chunks of one document.

    >>> within("it's")
    "doc_id = 'it''s'"
    """
    return "doc_id = '" + scope.replace("'", "''") + "'"


def thinking_model(system: System, room: Room | None) -> PartConfig | None:
    """Return the language model that the selector of `system` is given; None: that of `room`, or none at all."""
    selector = system.config.selector
    if not system.selects or not asks_for("selectors", selector.name, "language_model"):
        return None
    if "model" in selector.options:
        return model_part(selector.options["model"])
    return None if room is not None else system.config.language_model


@dataclass(slots=True)
class Counter:
    """Counts the tokens of texts, each text once."""

    room: Room
    known: dict[str, int] = field(default_factory=dict)

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text in the answering model's unit."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            self.known |= zip(new, self.room.metered.model.count(new), strict=True)
        return [self.known[text] for text in texts]


@dataclass
class Search:
    """What answers questions, and what knows how long its chunks are."""

    workshop: Workshop
    pipeline: Pipeline
    system: System
    k: int
    lengths: Lengths
    room: Room | None

    def all(self, queries: Sequence[Query]) -> Iterator[dict[str, Any]]:
        """Yield what `hits` returns for each query, in order.

        If the selector wants to ask its language model about the first question, all are asked side by side.
        """
        first = self._meeting.probe(partial(self.hits, queries[0]))
        if first is not None:
            yield first
            yield from map(self.hits, queries[1:])
            return
        for start in range(0, len(queries), THREADS):
            some = [partial(self.hits, query, together=True) for query in queries[start : start + THREADS]]
            yield from self._meeting.run(some)

    def hits(self, query: Query, *, together: bool = False) -> dict[str, Any]:
        """Return the hits for `query` as they are stored; `together`: among others, so that the clock says nothing."""
        where = None if query.scope is None else within(query.scope)
        meter = self._shared if self._thinking is None else Budget().meter()
        before = spent_on(meter)
        clock = time.thread_time if together else time.perf_counter
        started = clock()
        hits = self.pipeline.retrieve(query.question, self.k, where=where)
        selector = self._selector(meter) if self.system.selects else None
        selection = Selection(tuple(hits)) if selector is None else self._selected(selector, query.question, hits)
        seconds = clock() - started
        asked = cast(Asked, tuple(now - then for now, then in zip(spent_on(meter), before, strict=True)))
        seconds += asked[3] if together else 0.0
        return self.stored(selection, ranked=bool(getattr(selector, "ranked", True)), seconds=seconds, asked=asked)

    def stored(
        self, selection: Selection, *, ranked: bool = True, seconds: float = 0.0, asked: Asked = (0, 0, 0, 0.0)
    ) -> dict[str, Any]:
        """Return `selection` as the store takes it."""
        return {
            "documents": [hit.chunk.doc_id for hit in selection.hits],
            "spans": [[hit.chunk.start, hit.chunk.end] for hit in selection.hits],
            "tokens": [self._tokens(hit.chunk) for hit in selection.hits],
            "scores": [float(hit.score) for hit in selection.hits],
            "seconds": seconds,
            "ranked": ranked,
            "ordered": selection.ordered,
            "ranks": [hit.rank for hit in selection.hits],
            "parts": _parts(selection.hits),
            "rejected": [
                [one.hit.chunk.doc_id, one.hit.chunk.start, one.hit.chunk.end, list(one.flags)]
                for one in selection.dropped
                if one.flags
            ],
            "asked": asked,
        }

    def _selected(self, selector: Selector, question: str, hits: Sequence[Hit]) -> Selection:
        """Return what the selector keeps; where not one hit fits the prompt, what it would keep without a limit."""
        corpus = SnapshotCorpus(self.pipeline.snapshot)
        limit = None if self.room is None else _limit(self.room, question)
        found = selector.select(question, hits, limit, corpus)
        if found.hits or limit is None or not hits:
            return found
        costs = self._count([hit.chunk.text for hit in hits])
        return selector.select(question, hits, None, corpus) if min(costs) > limit else found

    def _selector(self, meter: Meter) -> Selector:
        """Return the selector: one for all questions, or one for each where it thinks with a language model."""
        return self._only if self._thinking is None else self._made(meter)

    def _made(self, meter: Meter) -> Selector:
        thinking, chosen = self._thinking, self.system.config.selector
        if thinking is not None and "model" in chosen.options:
            options = {key: value for key, value in chosen.options.items() if key != "model"}
            chosen = PartConfig(name=chosen.name, options=options)
        return make_selector(
            self.system.config,
            chosen,
            self._count,
            lambda: self.pipeline.embedder,
            language_model=None if thinking is None else lambda: cast(LanguageModel, thinking),
            meter=meter,
        )

    @cached_property
    def _only(self) -> Selector:
        return self._made(self._shared)

    @cached_property
    def _thinking(self) -> Gathering | None:
        part, room = thinking_model(self.system, self.room), self.room
        if part is not None:
            return Gathering(self._meeting, lambda: self.workshop.language_model(part))
        if room is not None and asks_for("selectors", self.system.config.selector.name, "language_model"):
            return Gathering(self._meeting, lambda: room.metered)
        return None

    @cached_property
    def _meeting(self) -> Meeting:
        return Meeting()

    @cached_property
    def _shared(self) -> Meter:
        return Budget().meter()

    @cached_property
    def _counter(self) -> Counter | None:
        return None if self.room is None else Counter(self.room)

    def _count(self, texts: Sequence[str]) -> list[int]:
        return self.workshop.tokenizer.count(texts) if self._counter is None else self._counter(texts)

    def _tokens(self, chunk: Chunk) -> int:
        known = self.lengths.get((chunk.doc_id, chunk.start, chunk.end))
        return self.workshop.tokenizer.count([chunk.text])[0] if known is None else known


def _limit(room: Room, question: str) -> int | None:
    """Return the tokens that the sources may have, None where the question leaves none: it is not answered then."""
    try:
        return room.limit(question)
    except ModelError:
        return None


def _parts(hits: Sequence[Hit]) -> list[int]:
    """Return the number of the chunk that each hit is a part of, -1 for a whole chunk."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(hit.part_of, len(numbers)) if hit.part_of else -1 for hit in hits]


def spent_on(meter: Meter) -> Asked:
    """Return calls, tokens of prompts and replies, and seconds of all stages; cached calls are none here."""
    stages = meter.report()["stages"].values()
    calls, read, written = (
        sum(int(row[unit]) for row in stages) for unit in ("calls", "prompt_tokens", "reply_tokens")
    )
    return calls, read, written, sum(float(row["seconds"]) for row in stages)
