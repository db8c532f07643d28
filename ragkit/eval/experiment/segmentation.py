"""Chunkers against gold segments: every distinct chunker of an experiment on every segmentation set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.experiment.chunking import chunker_of
from ragkit.eval.experiment.lines import Lines
from ragkit.eval.experiment.scoring import Judge
from ragkit.eval.experiment.segmentation_curves import Swept, at_density, curve
from ragkit.eval.experiment.segmentation_cuts import Cuts, cuts_by, cuts_name
from ragkit.eval.experiment.segmentation_gold import Gold, gold_of
from ragkit.eval.experiment.segmentation_judging import compared, placements
from ragkit.eval.experiment.segmentation_scoring import Scored, Scorer
from ragkit.eval.experiment.segmentation_specification import (
    Family,
    SegmentationSpec,
    families,
    segmentation_measures,
)
from ragkit.eval.experiment.specification import Experiment, GridSpec
from ragkit.eval.experiment.systems import System, grid_systems
from ragkit.eval.experiment.unmapped import unmapped_notes
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.metrics import Measure
from ragkit.eval.peers import PEERS
from ragkit.eval.results import BoundaryRun, SegmentationResult
from ragkit.eval.types import EvalSet


@dataclass(frozen=True, slots=True)
class SegmentationTask:
    """What is measured on every segmentation set, checked: measures, and the systems of each sweep by value."""

    measures: list[Measure]
    curve: list[Measure]
    spec: SegmentationSpec
    sweeps: dict[str, tuple[str, dict[float, System]]]
    """Chunker -> the option, and the systems by its value."""
    notes: list[str] = field(default_factory=list)


def segmentation_task(
    workshop: Workshop, experiment: Experiment, systems: Sequence[System], lines: Lines
) -> SegmentationTask:
    """Return what to do; raise ConfigError with file and line for what is wrong, before anything is computed.

    Of the sweeps that the file does not name, a chunker without a size is left out, which the notes say.
    """
    spec = experiment.segmentation
    sweeps: dict[str, tuple[str, dict[float, System]]] = {}
    notes: list[str] = []
    for family in families(spec, [system.chunker for system in systems], set(PEERS)):
        try:
            sweeps[family.name] = (family.option, _systems(workshop, experiment, family))
        except UsageError as error:
            if spec.sweeps is not None:
                raise lines.error(("segmentation", "sweeps"), error) from None
            notes.append(f"{family.name} has no curve: {error.message.rstrip('.')}")
    return SegmentationTask(
        segmentation_measures(spec.measures, "measures", lines),
        segmentation_measures(spec.curve, "curve", lines),
        spec,
        sweeps,
        notes,
    )


def segmentation_result(
    workshop: Workshop,
    evalset: EvalSet,
    systems: Sequence[System],
    baseline: str,
    *,
    task: SegmentationTask,
    judge: Judge,
) -> SegmentationResult:
    """Return what every distinct chunker of `systems` and of the sweeps does on `evalset`.

    Systems that cut alike are one, named by the chunker. Raises UsageError where no document has a gold boundary.
    """
    gold = gold_of(evalset, task.spec.units)
    scorer = Scorer(gold.positions, gold.sizes, draws=task.spec.draws, seed=judge.seed, store=workshop.store)
    groups = _groups(workshop, systems, evalset)
    advance = workshop.stage(
        f"cutting {evalset.name}",
        len(evalset.documents) * (len(groups) + sum(len(by_value) for _, by_value in task.sweeps.values())),
    )
    cuts = {name: cuts_by(workshop, group[0], evalset, gold, advance) for name, group in groups.items()}
    found = {name: scorer.scored(item.positions, task.measures) for name, item in cuts.items()}
    chosen = next(
        (name for name, group in groups.items() if any(system.name == baseline for system in group)), next(iter(groups))
    )
    means, comparisons = compared(judge, found, task.measures, chosen)
    swept = {
        name: _swept(workshop, by_value, evalset, gold, scorer, task=task, advance=advance)
        for name, (_, by_value) in task.sweeps.items()
    }
    first = _family_of(groups[chosen][0], task)
    return SegmentationResult(
        name=evalset.name,
        fingerprint=evalset.fingerprint,
        units=gold.kind,
        sizes=gold.sizes,
        gold=gold.positions,
        gold_inside=gold.inside,
        counted=gold.counted,
        left_out=dict(gold.left_out),
        measures=[str(measure) for measure in task.measures],
        runs=[_run(name, groups[name], cuts[name], found[name]) for name in groups],
        intervals=means,
        comparisons=comparisons,
        placements=placements(judge, found, task.measures),
        baseline=chosen,
        curves=[curve(name, task.sweeps[name][0], points, task.curve, judge) for name, points in swept.items()],
        matched=[at_density(swept, density, task.curve, first, judge) for density in task.spec.densities if swept],
        notes=[*_notes(evalset, gold, cuts), *task.notes],
    )


def _systems(workshop: Workshop, experiment: Experiment, family: Family) -> dict[float, System]:
    """Return the systems of a sweep, their chunkers made once so that a wrong value is found now."""
    found: dict[float, System] = {}
    for value, content in family.contents.items():
        (system,) = grid_systems(GridSpec(chunkers=[content], retrievers=["lexical"]), experiment.pipeline)
        chunker_of(system, workshop.embedder(system.config))
        found[value] = system
    return found


def _groups(workshop: Workshop, systems: Sequence[System], evalset: EvalSet) -> dict[str, list[System]]:
    """Return the systems that cut alike, by a name for what they share."""
    alike: dict[str, list[System]] = {}
    for system in [system for system in systems if system.context == "index"] or systems:
        alike.setdefault(cuts_name(workshop, system, evalset), []).append(system)
    found: dict[str, list[System]] = {}
    for group in alike.values():
        names = {system.name.removesuffix(f"/{system.whole}") for system in group}
        name = names.pop() if len(names) == 1 else group[0].chunker_label
        found[name if name not in found else group[0].name] = group
    return found


def _swept(
    workshop: Workshop,
    by_value: Mapping[float, System],
    evalset: EvalSet,
    gold: Gold,
    scorer: Scorer,
    *,
    task: SegmentationTask,
    advance: Callable[[int], None],
) -> list[Swept]:
    """Return all points of one chunker's curve."""
    found = []
    for value, system in by_value.items():
        cuts = cuts_by(workshop, system, evalset, gold, advance)
        found.append(Swept(value, cuts, scorer.scored(cuts.positions, task.curve)))
    return found


def _family_of(system: System, task: SegmentationTask) -> str:
    """Return the sweep that the chunker of `system` belongs to, the first one where there is none."""
    names = [name for name in task.sweeps if name.split("-")[0] == system.chunker.name]
    return (names or list(task.sweeps) or [""])[0]


def _run(name: str, group: Sequence[System], cuts: Cuts, found: Scored) -> BoundaryRun:
    return BoundaryRun(
        system=name,
        cut_by=[system.name for system in group],
        chunks=cuts.chunks,
        mean_chunk_tokens=cuts.mean_tokens,
        unmapped=cuts.unmapped,
        boundaries=cuts.positions,
        predicted=cuts.predicted,
        inside=cuts.inside,
        lost=cuts.lost,
        density=found.density,
        scores=found.own,
        spaced=found.spaced,
        drawn=found.drawn,
        seconds=cuts.seconds,
    )


def _notes(evalset: EvalSet, gold: Gold, cuts: Mapping[str, Cuts]) -> list[str]:
    """Return what a reader of the figures should know."""
    notes = [f"dropped by the loader: {reason}" for reason in evalset.dropped]
    lengths = np.concatenate([np.diff([0, *gold.boundaries[d].positions, len(gold.units[d])]) for d in gold.counted])
    notes.append(
        f"a gold segment has {lengths.mean():.1f} {gold.kind} on average, {np.median(lengths):.0f} in the median"
    )
    if gold.inside:
        notes.append(
            f"{gold.inside} gold boundaries stand within one of the {gold.kind} and were moved to its nearer end"
        )
    alike: dict[str, list[str]] = {}
    for name, item in cuts.items():
        alike.setdefault(str(item.positions), []).append(name)
    notes += [f"{' and '.join(names)} found the same boundaries" for names in alike.values() if len(names) > 1]
    for name, item in cuts.items():
        notes += unmapped_notes(name, item.unmapped, item.chunks)
        if item.failed:
            notes.append(f"{name}: {item.failed} documents could not be cut and count as one chunk")
    return notes
