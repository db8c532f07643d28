"""What is to be done, set by set, and doing it: index, search, answer, judge, score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ragkit.eval.experiment.answering import Answered, Answering
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.indexes import Built, Order, built
from ragkit.eval.experiment.orders import orders_of
from ragkit.eval.experiment.outcome import Outcome, set_result
from ragkit.eval.experiment.retrieval import Run, run_of
from ragkit.eval.experiment.scoring import Judge
from ragkit.eval.experiment.sets import LoadedSet
from ragkit.eval.experiment.steering import Steered, steered
from ragkit.eval.experiment.systems import System
from ragkit.eval.experiment.without_index import without_index
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.metrics import Measure
from ragkit.eval.results import SetResult

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """One data set with the systems that run on it, their chunk sizes decided."""

    loaded: LoadedSet
    systems: list[System]
    baseline: str
    reached: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def questions(self) -> int:
        """How many questions all systems together are asked."""
        return len(self.systems) * len(self.loaded.evalset.queries)


@dataclass(frozen=True, slots=True)
class Work:
    """What all plans share."""

    workshop: Workshop
    measures: list[Measure]
    judge: Judge
    k: int
    answering: Answering | None = None

    @property
    def depth(self) -> Depth:
        """How deep hits are kept: as deep as measures look; all of them where answers are written from them."""
        return Depth.of(self.measures) if self.answering is None else Depth(everything=True)

    def results(self, plans: Sequence[Plan]) -> list[SetResult]:
        """Return one SetResult for each plan."""
        evalsets = [plan.loaded.evalset for plan in plans]
        orders = [
            orders_of(self.workshop, plan.systems, plan.loaded.evalset, whole=plan.loaded.whole) for plan in plans
        ]
        sizes = [sum(len(document.text) for document in one.documents.values()) for one in evalsets]
        names = [{order.name for order in own if order is not None} for own in orders]
        stages = _Stages(
            indexing=self._stage("indexing", sum(len(own) * size for own, size in zip(names, sizes, strict=True))),
            searching=self._stage("searching", sum(plan.questions for plan in plans)),
            answering=self._stage("answering", sum(plan.questions for plan in plans) if self.answering else 0),
            judging=self._stage("judging", sum(map(self._judgements, plans))),
            scoring=self._stage("scoring", sum(len(plan.systems) for plan in plans)),
        )
        return [self._result(plan, own, stages) for plan, own in zip(plans, orders, strict=True)]

    def _result(self, plan: Plan, orders: Sequence[Order | None], stages: _Stages) -> SetResult:
        evalset = plan.loaded.evalset
        known: dict[str, Built] = {}
        found = [
            (system, *self._found(plan, system, order, known, stages))
            for system, order in zip(plan.systems, orders, strict=True)
        ]
        answered: Sequence[Answered | None] = [None] * len(found)
        if self.answering is not None:
            given = [(system, run, of_loop) for system, _, run, of_loop in found]
            answered = self.answering.answered(evalset, given, stages.answering, stages.judging)
        outcomes = [
            Outcome(system.name, system.context, index, run, answers)
            for (system, index, run, _), answers in zip(found, answered, strict=True)
        ]
        return set_result(
            evalset,
            outcomes,
            self.measures,
            baseline=plan.baseline,
            judge=self.judge,
            tokenizer=self.workshop.tokenizer,
            advance=stages.scoring,
        )

    def _found(
        self, plan: Plan, system: System, order: Order | None, known: dict[str, Built], stages: _Stages
    ) -> tuple[Built, Run, Steered | None]:
        """Return the index of `system`, built once for all that share it, and what it finds.

        One with a controller answers as it searches.
        """
        evalset = plan.loaded.evalset
        if order is None:
            stages.searching(len(evalset.queries))
            return (*without_index(system, evalset, self.workshop.tokenizer), None)
        if order.name not in known:
            known[order.name] = built(self.workshop, system, evalset, order, report=stages.indexing)
        index = known[order.name]
        room = None if self.answering is None else self.answering.room(system)
        done = stages.searching
        if system.config.controller is not None and room is not None:
            loop = steered(self.workshop, index, system, evalset, k=self.k, room=room, done=done)
            return index, loop.run, loop
        run = run_of(self.workshop, index, system, evalset, k=self.k, depth=self.depth, done=done, room=room)
        return index, run, None

    def _stage(self, name: str, total: int) -> Advance:
        return self.workshop.stage(name, total) if total else lambda _: None

    def _judgements(self, plan: Plan) -> int:
        if self.answering is None:
            return 0
        return len(plan.systems) * self.answering.judgements(plan.loaded.evalset)


@dataclass(frozen=True, slots=True)
class _Stages:
    """Each counts on in the progress of one stage."""

    indexing: Advance
    searching: Advance
    answering: Advance
    judging: Advance
    scoring: Advance
