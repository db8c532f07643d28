"""The stage of an experiment in which systems answer and a judge judges; its models are made before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ragkit.config import PartConfig, PipelineConfig
from ragkit.errors import UsageError
from ragkit.eval.experiment.answers import Answerer, Answers, Job
from ragkit.eval.experiment.judging import Assessor, check_share, compares_vectors, tasks_of
from ragkit.eval.experiment.lines import Lines
from ragkit.eval.experiment.retrieval import Run
from ragkit.eval.experiment.room import Room
from ragkit.eval.experiment.specification import AnswerSpec, Experiment
from ragkit.eval.experiment.spending import answer_calls, judge_calls, spent
from ragkit.eval.experiment.steering import Steered
from ragkit.eval.experiment.store import key
from ragkit.eval.experiment.systems import System, model_part
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.metrics import Measure
from ragkit.eval.results import AnswerRecord, Call, ModelRecord, Spent
from ragkit.eval.types import EvalSet
from ragkit.plugins import asks_for

Done = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers of one system on one set, judged where a measure asks for it; `key` names all they depend on."""

    key: str
    records: list[AnswerRecord]
    model: ModelRecord
    cost: dict[str, Spent]


@dataclass(frozen=True, slots=True)
class Answering:
    """How all systems of an experiment answer."""

    workshop: Workshop
    spec: AnswerSpec
    assessor: Assessor
    judge: ModelRecord | None

    @classmethod
    def of(
        cls, workshop: Workshop, experiment: Experiment, systems: list[System], measures: list[Measure]
    ) -> Answering | None:
        """Return the stage, None where the experiment has none; raise ModelError for a model that is not there."""
        spec = experiment.answer
        if spec is None:
            return None
        judging = None
        if spec.judge is not None and tasks_of(measures):
            judging = workshop.language_model(model_part(spec.judge))
        embedder = None
        if compares_vectors(measures):
            embedder = workshop.embedder(PipelineConfig(embedder=PartConfig.model_validate(spec.embedder)))
        assessor = Assessor(workshop.store, tasks_of(measures), judging, embedder)
        made = cls(workshop, spec, assessor, None if judging is None else judging.record)
        for system in systems:
            workshop.language_model(made.part(system))
        return made

    def part(self, system: System) -> PartConfig:
        """Return the language model of `system`: its own, else that of the experiment, else the configured one."""
        if system.language_model is not None:
            return system.language_model
        return system.config.language_model if self.spec.model is None else model_part(self.spec.model)

    def room(self, system: System) -> Room:
        """Return the room that the sources of `system` have in a prompt."""
        model = self.workshop.language_model(self.part(system))
        return Room(model, self.spec.max_tokens, system.budget_tokens or self.spec.budget_tokens)

    def answered(
        self,
        evalset: EvalSet,
        found: Sequence[tuple[System, Run, Steered | None]],
        answering: Done,
        judging: Done,
    ) -> list[Answered]:
        """Return what each system answers to the questions of `evalset` from the hits of its run.

        Systems with one model ask it together; those with a controller have answered. Raises what the models raise, and
        ModelError where the judge fails on more answers than the experiment allows.
        """
        groups: dict[str, list[int]] = {}
        answers: dict[int, Answers] = {}
        for place, (system, run, loop) in enumerate(found):
            if loop is None:
                groups.setdefault(self.part(system).model_dump_json(), []).append(place)
            else:
                answers[place] = Answers(run.key, loop.records, sum(one.calls for one in answer_calls(loop.known)))
                answering(len(loop.records))
        for places in groups.values():
            model = self.workshop.language_model(self.part(found[places[0]][0]))
            answerer = Answerer(model, self.spec.max_tokens, self.workshop.store)
            jobs = [self._job(*found[place][:2]) for place in places]
            answers |= zip(places, answerer.answers(evalset, jobs, answering), strict=True)
        return [self._judged(system, evalset, run, answers[at], judging) for at, (system, run, _) in enumerate(found)]

    def _job(self, system: System, run: Run) -> Job:
        return Job(run, system.context, system.selects, self.room(system), system.order)

    def _judged(self, system: System, evalset: EvalSet, run: Run, answers: Answers, judging: Done) -> Answered:
        """Return the answers of `system` with what the judge says, and all that they cost."""
        model = self.workshop.language_model(self.part(system))
        texts = {doc_id: document.text for doc_id, document in evalset.documents.items()}
        records, known = self.assessor.assessed(evalset.queries, run.hits, answers.records, texts, judging)
        cost = {"answers": spent(answer_calls(records), answers_priced(model.record, system), answers.from_cache)}
        calls, read, written, seconds = run.asked
        if calls:
            asked = Call(prompt_tokens=read, reply_tokens=written, seconds=seconds, calls=calls)
            cost["selection"] = spent([asked], selection_priced(model.record, system), 0)
        if self.judge is not None:
            check_share(system.name, records, self.judge.name, self.spec.max_unjudged)
            cost["judge"] = spent(judge_calls(records), self.judge, known)
        return Answered(key("answered", answers=answers.key, said=_said(records)), records, model.record, cost)

    def judgements(self, evalset: EvalSet) -> int:
        """Return how many times the judge is asked, or would be, about one system's answers."""
        asked = sum(query.answerable and bool(query.answers) for query in evalset.queries)
        return asked * len(self.assessor.tasks)


def answers_priced(record: ModelRecord, system: System) -> ModelRecord:
    """Return the model, without its price where the calls of an answer may be another one's too: those of a loop."""
    return record if system.config.controller is None else selection_priced(record, system)


def selection_priced(record: ModelRecord, system: System) -> ModelRecord:
    """Return the model, without its price where the selector or the controller may ask another one."""
    parts = {"selectors": system.config.selector, "controllers": system.config.controller}
    other = any(part is not None and _asks_another(kind, part) for kind, part in parts.items())
    return record.model_copy(update={"price": None}) if other else record


def _asks_another(kind: str, part: PartConfig) -> bool:
    """Return whether `part`, or a reranker in its options, asks a language model that is not the answering one."""
    asks = asks_for(kind, part.name, "language_model")
    inner = [part.options.get("reranker")] if asks_for(kind, part.name, "reranker") else []
    inner += part.options.get("rerankers", []) if asks_for(kind, part.name, "members") else []
    named = [PartConfig.model_validate(one) for one in inner if one not in (None, "none")]
    own = asks and (kind == "rerankers" or "model" in part.options)
    return own or any(_asks_another("rerankers", one) for one in named)


def check_controllers(experiment: Experiment, systems: Sequence[System], lines: Lines) -> None:
    """Raise ConfigError, with file and line, for a system with a controller in an experiment without answers."""
    steered = [system.name for system in systems if system.config.controller is not None]
    if steered and experiment.answer is None:
        wrong = UsageError(
            f"The system {steered[0]!r} has a controller, which decides over answers; the experiment has no `answer:`.",
            hint="Add for instance `answer: {model: SmolLM2-135M-Instruct}`, or remove the controller.",
        )
        raise lines.error(("systems",), wrong)


def check_answer(experiment: Experiment, measures: list[Measure], lines: Lines) -> None:
    """Raise ConfigError, with file and line, for answer measures without answers or judge, and models that are none."""
    spec = experiment.answer
    for number, text in enumerate(experiment.measures):
        measure = next((measure for measure in measures if str(measure) == text), None)
        needs = "hits" if measure is None else measure.declaration.needs
        if needs not in ("hits", "flags") and spec is None:
            wrong = UsageError(
                f"{text} is a measure of answers, and the experiment has no `answer:`.",
                hint="Add for instance `answer: {model: SmolLM2-135M-Instruct}`, or remove the measure.",
            )
            raise lines.error(("measures", number), wrong)
        if needs == "judge" and spec is not None and spec.judge is None:
            wrong = UsageError(
                f"{text} needs a judge, and `answer:` names none.", hint="Add `judge: MODEL` to `answer:`."
            )
            raise lines.error(("measures", number), wrong)
    for name, value in () if spec is None else (("model", spec.model), ("judge", spec.judge)):
        try:
            if value is not None:
                model_part(value)
        except UsageError as error:
            raise lines.error(("answer", name), error) from None


def _said(records: list[AnswerRecord]) -> list[str]:
    return [record.model_dump_json(include={"judged", "similarity"}, exclude={"judged": {"__all__": {"call"}}})
            for record in records]  # fmt: skip
