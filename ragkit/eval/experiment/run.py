"""Run an experiment: every system on every data set, only what is not known from an earlier run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ragkit.errors import ConfigError, UsageError
from ragkit.eval.experiment.answering import Answering, check_answer, check_controllers
from ragkit.eval.experiment.chunking import indexing_chunker
from ragkit.eval.experiment.code import code_version
from ragkit.eval.experiment.lines import Lines
from ragkit.eval.experiment.machine import machine
from ragkit.eval.experiment.matched import at_one_length, matched
from ragkit.eval.experiment.plans import Plan, Work
from ragkit.eval.experiment.scoring import Judge
from ragkit.eval.experiment.segmentation import segmentation_result, segmentation_task
from ragkit.eval.experiment.sets import LoadedSet, chosen_sets, load_set
from ragkit.eval.experiment.specification import Experiment, read_experiment
from ragkit.eval.experiment.systems import System, for_whole_documents, search_key, systems_of
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.metrics import RUBRIC_VERSION, Measure, parse
from ragkit.eval.metrics.evaluate import checked
from ragkit.eval.results import ExperimentResult
from ragkit.models.hub import cache_root
from ragkit.protocols import Progress


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a command line may change of an experiment.

    `work` keeps intermediate results (None: below ragkit's cache folder), `data` replaces the file's data folder,
    `sets` names the sets to run (all if empty), `sample` replaces the sample sizes, `matched_length` tunes every
    chunker to that mean chunk length.
    """

    work: Path | None = None
    data: Path | None = None
    sets: Sequence[str] = ()
    sample: int | None = None
    matched_length: int | None = None
    progress: Progress | None = None


def default_work() -> Path:
    """Return the folder of intermediate results where none is given."""
    return cache_root() / "eval"


def run(path: Path, options: RunOptions | None = None) -> ExperimentResult:
    """Return the result of the experiment in the file `path`.

    Raises ConfigError naming file, line and nearest valid name for whatever is wrong in the file, before anything is
    computed; LoadError and UsageError for data sets; what the pipeline raises. Interrupted, it goes on where it was.
    """
    with prepared(path, options or RunOptions()) as task:
        return task.result()


@dataclass(frozen=True, slots=True)
class Task:
    """An experiment that was read and found right, its data sets loaded, nothing of it computed."""

    options: RunOptions
    experiment: Experiment
    lines: Lines
    measures: list[Measure]
    systems: list[System]
    baseline: System
    loaded: list[LoadedSet]
    workshop: Workshop

    def result(self) -> ExperimentResult:
        """Return the result, as `run` does."""
        workshop, experiment, length = self.workshop, self.experiment, self.options.matched_length
        segmented = any(item.segmented for item in self.loaded)
        task = segmentation_task(workshop, experiment, self.systems, self.lines) if segmented else None
        answering = Answering.of(workshop, experiment, self.systems, self.measures)
        plans = [_plan(workshop, item, self.systems, self.baseline, length) for item in self.loaded]
        judge = Judge(experiment.seed, experiment.resamples, workshop.store)
        segmentations = [
            segmentation_result(workshop, plan.loaded.evalset, plan.systems, plan.baseline, task=task, judge=judge)
            for plan in plans
            if plan.loaded.segmented and task is not None
        ]
        asked = [plan for plan in plans if plan.loaded.evalset.queries]
        work = Work(workshop, self.measures, judge, experiment.k, answering)
        results = work.results(asked)
        return ExperimentResult(
            name=experiment.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine(),
            code_version=code_version(),
            experiment={**self._described(plans), "stored_depth": work.depth.as_dict()},
            measures=[str(measure) for measure in self.measures] if results else [],
            baseline=self.baseline.name,
            seed=experiment.seed,
            sets=results,
            judge=None if answering is None else answering.judge,
            rubric=RUBRIC_VERSION if answering is not None and answering.judge is not None else "",
            segmentations=segmentations,
        )

    def _described(self, plans: Sequence[Plan]) -> dict[str, Any]:
        """Return the experiment as the result tells it."""
        described = self.experiment.model_dump()
        if self.options.matched_length is not None:
            described["matched_length"] = self.options.matched_length
            described["reached"] = {plan.loaded.evalset.name: plan.reached for plan in plans}
        if self.options.sample is not None:
            described["sampled"] = self.options.sample
        return described


@contextmanager
def prepared(path: Path, options: RunOptions) -> Iterator[Task]:
    """Yield the experiment in the file `path`, ready to run; raises what `run` raises before it computes anything."""
    experiment, lines = read_experiment(path)
    measures = parsed_measures(experiment, lines)
    systems = systems_of(experiment, lines)
    check_controllers(experiment, systems, lines)
    baseline = next(system for system in systems if system.name == (experiment.baseline or systems[0].name))
    if options.matched_length is not None:
        renamed = at_one_length(systems, options.matched_length)
        systems, baseline = list({system.name: system for system in renamed.values()}.values()), renamed[baseline.name]
    data = options.data.resolve() if options.data is not None else (path.resolve().parent / experiment.data)
    places = chosen_sets(experiment, options.sets, lines)
    loaded = [load_set(experiment, number, data, lines, options.sample) for number in places]
    with Workshop(options.work or default_work(), experiment.tokenizer, options.progress) as workshop:
        for system in systems:
            indexing_chunker(system, workshop.embedder(system.config))
        yield Task(options, experiment, lines, measures, systems, baseline, loaded, workshop)


def parsed_measures(experiment: Experiment, lines: Lines) -> list[Measure]:
    """Return the measures of the file; raise ConfigError with the line of one that is none."""
    found: dict[str, Measure] = {}
    for number, text in enumerate(experiment.measures):
        try:
            measure = parse(text)
            if measure.declaration.family == "segmentation":
                checked([measure], "retrieval")
        except UsageError as error:
            raise lines.error(("measures", number), error) from None
        if measure.cutoff is not None and measure.cutoff.kind == "k" and (measure.cutoff.size or 0) > experiment.k:
            raise ConfigError(
                f"{lines.where(('measures', number))}: {measure} looks deeper than the k = {experiment.k} chunks that "
                "are retrieved.",
                hint="Raise k, or lower the cut-off.",
            )
        found.setdefault(str(measure), measure)
    check_answer(experiment, list(found.values()), lines)
    return list(found.values())


def _plan(workshop: Workshop, loaded: LoadedSet, systems: list[System], baseline: System, length: int | None) -> Plan:
    if loaded.whole:
        distinct = for_whole_documents(systems)
        return Plan(loaded, list(distinct.values()), distinct[search_key(baseline)].name)
    if length is None:
        return Plan(loaded, systems, baseline.name)
    advance = workshop.stage(f"matching lengths on {loaded.evalset.name}", len(systems))
    sized, reached = [], {}
    for system in systems:
        found = matched(workshop, system, loaded.evalset, length)
        sized.append(system.sized(found.size))
        reached[system.name] = {"size": float(found.size), "mean_tokens": found.mean_tokens}
        advance(1)
    return Plan(loaded, sized, baseline.name, reached)
