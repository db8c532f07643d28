"""Run an experiment: every system on every data set, only what is not known from an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ragkit.errors import ConfigError, UsageError
from ragkit.eval.experiment.chunking import chunker_of
from ragkit.eval.experiment.code import code_version
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.indexes import Built, built, corpus_fingerprint, index_key
from ragkit.eval.experiment.lines import Lines
from ragkit.eval.experiment.machine import machine
from ragkit.eval.experiment.matched import at_one_length, matched
from ragkit.eval.experiment.outcome import Outcome, set_result
from ragkit.eval.experiment.retrieval import run_of
from ragkit.eval.experiment.scoring import Judge
from ragkit.eval.experiment.sets import LoadedSet, chosen_sets, load_set
from ragkit.eval.experiment.specification import Experiment, read_experiment
from ragkit.eval.experiment.systems import System, for_whole_documents, search_key, systems_of
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.metrics import Measure
from ragkit.eval.metrics.evaluate import checked
from ragkit.eval.results import ExperimentResult, SetResult
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


@dataclass(frozen=True, slots=True)
class _Plan:
    """One data set with the systems that run on it, their chunk sizes decided."""

    loaded: LoadedSet
    systems: list[System]
    baseline: str
    reached: dict[str, dict[str, float]] = field(default_factory=dict)


def default_work() -> Path:
    """Return the folder of intermediate results where none is given."""
    return cache_root() / "eval"


def run(path: Path, options: RunOptions | None = None) -> ExperimentResult:
    """Return the result of the experiment in the file `path`.

    Raises ConfigError naming file, line and nearest valid name for whatever is wrong in the file, before anything is
    computed; LoadError and UsageError for data sets; what the pipeline raises. Interrupted, it goes on where it was.
    """
    options = options or RunOptions()
    experiment, lines = read_experiment(path)
    measures = parsed_measures(experiment, lines)
    systems = systems_of(experiment, lines)
    baseline = next(system for system in systems if system.name == (experiment.baseline or systems[0].name))
    if options.matched_length is not None:
        renamed = at_one_length(systems, options.matched_length)
        systems, baseline = list({system.name: system for system in renamed.values()}.values()), renamed[baseline.name]
    base = path.resolve().parent
    data = options.data.resolve() if options.data is not None else (base / experiment.data)
    places = chosen_sets(experiment, options.sets, lines)
    loaded = [load_set(experiment, number, data, lines, options.sample) for number in places]
    with Workshop(options.work or default_work(), experiment.tokenizer, options.progress) as workshop:
        for system in systems:
            chunker_of(system, workshop.embedder(system.config))
        plans = [_plan(workshop, item, systems, baseline, options.matched_length) for item in loaded]
        judge = Judge(experiment.seed, experiment.resamples, workshop.store)
        results = _results(workshop, plans, experiment, measures, judge)
    described = experiment.model_dump()
    described["stored_depth"] = Depth.of(measures).as_dict()
    if options.matched_length is not None:
        described["matched_length"] = options.matched_length
        described["reached"] = {plan.loaded.evalset.name: plan.reached for plan in plans}
    if options.sample is not None:
        described["sampled"] = options.sample
    return ExperimentResult(
        name=experiment.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        code_version=code_version(),
        experiment=described,
        measures=[str(measure) for measure in measures],
        baseline=baseline.name,
        seed=experiment.seed,
        sets=results,
    )


def parsed_measures(experiment: Experiment, lines: Lines) -> list[Measure]:
    """Return the measures of the file; raise ConfigError with the line of one that is none."""
    found: dict[str, Measure] = {}
    for number, text in enumerate(experiment.measures):
        try:
            (measure,) = checked([text], "retrieval")
        except UsageError as error:
            raise lines.error(("measures", number), error) from None
        if measure.cutoff is not None and measure.cutoff.kind == "k" and (measure.cutoff.size or 0) > experiment.k:
            raise ConfigError(
                f"{lines.where(('measures', number))}: {measure} looks deeper than the k = {experiment.k} chunks that "
                "are retrieved.",
                hint="Raise k, or lower the cut-off.",
            )
        found.setdefault(str(measure), measure)
    return list(found.values())


def _plan(workshop: Workshop, loaded: LoadedSet, systems: list[System], baseline: System, length: int | None) -> _Plan:
    if loaded.whole:
        distinct = for_whole_documents(systems)
        return _Plan(loaded, list(distinct.values()), distinct[search_key(baseline)].name)
    if length is None:
        return _Plan(loaded, systems, baseline.name)
    advance = workshop.stage(f"matching lengths on {loaded.evalset.name}", len(systems))
    sized, reached = [], {}
    for system in systems:
        found = matched(workshop, system, loaded.evalset, length)
        sized.append(system.sized(found.size))
        reached[system.name] = {"size": float(found.size), "mean_tokens": found.mean_tokens}
        advance(1)
    return _Plan(loaded, sized, baseline.name, reached)


def _results(
    workshop: Workshop, plans: list[_Plan], experiment: Experiment, measures: list[Measure], judge: Judge
) -> list[SetResult]:
    """Return one SetResult for each plan."""
    depth = Depth.of(measures)
    names = [_index_names(workshop, plan) for plan in plans]
    characters = [sum(len(document.text) for document in plan.loaded.evalset.documents.values()) for plan in plans]
    total = sum(len(set(own)) * size for own, size in zip(names, characters, strict=True))
    indexing = workshop.stage("indexing", total)
    searching = workshop.stage("searching", sum(len(plan.systems) * len(plan.loaded.evalset.queries) for plan in plans))
    scoring = workshop.stage("scoring", sum(len(plan.systems) for plan in plans))
    results = []
    for plan, own in zip(plans, names, strict=True):
        known: dict[str, Built] = {}
        outcomes = []
        for system, name in zip(plan.systems, own, strict=True):
            if name not in known:
                known[name] = _built(workshop, plan, system, name, indexing)
            found = run_of(
                workshop, known[name], system, plan.loaded.evalset, k=experiment.k, depth=depth, done=searching
            )
            outcomes.append(Outcome(system.name, known[name], found))
        results.append(
            set_result(
                plan.loaded.evalset,
                outcomes,
                measures,
                baseline=plan.baseline,
                judge=judge,
                tokenizer=workshop.tokenizer,
                advance=scoring,
            )
        )
    return results


def _index_names(workshop: Workshop, plan: _Plan) -> list[str]:
    """Return the name of the index that each system of `plan` needs."""
    corpus = corpus_fingerprint(plan.loaded.evalset)
    found = []
    for system in plan.systems:
        embedder = workshop.embedder(system.config)
        chunker = chunker_of(system, embedder, whole=plan.loaded.whole)
        found.append(index_key(corpus, system, chunker, embedder))
    return found


def _built(workshop: Workshop, plan: _Plan, system: System, name: str, report: Callable[[int], None]) -> Built:
    """Return the index `name`; its chunker is made for it alone, since it counts what it could not map."""
    chunker = chunker_of(system, workshop.embedder(system.config), whole=plan.loaded.whole)
    return built(workshop, system, plan.loaded.evalset, chunker, name=name, report=report)
