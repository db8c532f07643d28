"""The tables of one data set, as text: means with intervals, and the paired differences to the baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ragkit.eval.cost_rows import cost_rows
from ragkit.eval.counted import counted_otherwise
from ragkit.eval.report import numbers
from ragkit.eval.report.cuts import lower_is_better
from ragkit.eval.results import Comparison, ExperimentResult, SetResult, SystemRun

NO_DIFFERENCE = "no difference shown"


@dataclass(frozen=True, slots=True)
class Mean:
    """A cell: the mean and its interval, both empty where the system has no value."""

    mean: str = "–"
    interval: str = ""


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One system: its means, one for each measure, and what it cost."""

    system: str
    is_baseline: bool
    means: tuple[Mean, ...]
    chunks: str
    chunk_tokens: str
    index_seconds: str
    milliseconds: str
    unmapped: str


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One system against the baseline on one measure; `outcome` is "better", "worse" or "unclear"."""

    system: str
    difference: str
    interval: str
    clustered: str
    p_value: str
    p_holm: str
    detectable: str
    verdict: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Differences:
    """The differences of all systems on one measure."""

    measure: str
    lower_is_better: bool
    rows: tuple[DifferenceRow, ...]
    clustered: bool


@dataclass(frozen=True, slots=True)
class SetTables:
    """What the report says in numbers about one data set; `measures` head the columns of `rows`.

    `otherwise` says of measures that count other queries which and how many, `costs` are rows under `COST_HEADER`.
    """

    name: str
    fingerprint: str
    baseline: str
    notes: tuple[str, ...]
    counted: int
    left_out: tuple[tuple[str, int], ...]
    otherwise: tuple[str, ...]
    measures: tuple[str, ...]
    costs: tuple[tuple[str, ...], ...]
    rows: tuple[SummaryRow, ...]
    differences: tuple[Differences, ...]
    unmapped: bool


def set_tables(result: ExperimentResult, one: SetResult, first: str) -> SetTables:
    """Return the tables of a data set, the measure `first` before the others."""
    measures = (first, *(measure for measure in result.measures if measure != first))
    differences = (_differences(one, measure) for measure in measures)
    return SetTables(
        name=one.name,
        fingerprint=one.fingerprint[:12],
        baseline=baseline_of(result, one),
        notes=tuple(one.notes),
        counted=len(one.counted),
        left_out=tuple(one.left_out.items()),
        otherwise=tuple(counted_otherwise(one)),
        measures=measures,
        costs=tuple(tuple(row.cells()) for row in cost_rows(one)),
        rows=tuple(_summary(result, one, run, measures) for run in one.runs),
        differences=tuple(table for table in differences if table.rows),
        unmapped=any(run.unmapped for run in one.runs),
    )


def baseline_of(result: ExperimentResult, one: SetResult) -> str:
    """Return the system that the others were compared with on this set."""
    return one.baseline or result.baseline


def verdict(comparison: Comparison) -> tuple[str, str]:
    """Return what may be said of a comparison, and its outcome for the compared system.

    A winner is named only where the record names one and its intervals exclude zero: a record that contradicts itself
    (an edited file) is not believed.
    """
    spans = [(comparison.low, comparison.high)]
    if comparison.clustered is not None:
        spans.append(comparison.clustered)
    if comparison.winner is None or any(low <= 0 <= high for low, high in spans):
        return NO_DIFFERENCE, "unclear"
    return f"{comparison.winner} is better", "better" if comparison.winner == comparison.system else "worse"


def latency(run: SystemRun) -> float | None:
    """Return the median seconds that the system took for one query, None without queries."""
    return float(np.median(run.hits.hits.seconds)) if len(run.hits) else None


def _summary(result: ExperimentResult, one: SetResult, run: SystemRun, measures: tuple[str, ...]) -> SummaryRow:
    seconds = latency(run)
    return SummaryRow(
        system=run.system,
        is_baseline=run.system == baseline_of(result, one),
        means=tuple(_mean(one, measure, run.system) for measure in measures),
        chunks=f"{run.chunks:,}",
        chunk_tokens=numbers.quantity(run.mean_chunk_tokens),
        index_seconds=_index_seconds(run),
        milliseconds="–" if run.context != "index" or seconds is None else numbers.quantity(seconds * 1000),
        unmapped=f"{run.unmapped:,}",
    )


def _index_seconds(run: SystemRun) -> str:
    """Return the time that building the index took, and what share of its vectors a cache spared."""
    if run.context != "index":
        return "–"
    seconds = numbers.quantity(run.index_seconds)
    if not run.cached_vectors:
        return seconds
    share = run.cached_vectors / (run.cached_vectors + (run.embedded or 0))
    return f"{seconds} ({share:.0%} of vectors cached)"


def _mean(one: SetResult, measure: str, system: str) -> Mean:
    found = one.intervals.get(measure, {}).get(system)
    return Mean() if found is None else Mean(numbers.score(found[0]), numbers.interval(found[1], found[2]))


def _differences(one: SetResult, measure: str) -> Differences:
    found = [comparison for comparison in one.comparisons if comparison.measure == measure]
    return Differences(
        measure=measure,
        lower_is_better=lower_is_better(measure),
        rows=tuple(_difference(comparison) for comparison in found),
        clustered=any(comparison.clustered is not None for comparison in found),
    )


def _difference(comparison: Comparison) -> DifferenceRow:
    words, outcome = verdict(comparison)
    clustered = comparison.clustered
    return DifferenceRow(
        system=comparison.system,
        difference=numbers.difference(comparison.difference),
        interval=numbers.interval(comparison.low, comparison.high, signed=True),
        clustered="–" if clustered is None else numbers.interval(clustered[0], clustered[1], signed=True),
        p_value=numbers.p_value(comparison.p_value),
        p_holm=numbers.p_value(comparison.p_holm),
        detectable=numbers.score(comparison.detectable),
        verdict=words,
        outcome=outcome,
    )
