"""All systems on all data sets at one measure: the first thing a reader wants to see."""

from __future__ import annotations

from dataclasses import dataclass

from ragkit.eval.report import numbers
from ragkit.eval.report.tables import baseline_of, verdict
from ragkit.eval.results import ExperimentResult

MARKS = {"better": "▲", "worse": "▼", "unclear": "", "baseline": "◦"}


@dataclass(frozen=True, slots=True)
class Cell:
    """The mean of one system on one set; `outcome` is that of its comparison to the baseline, `mark` shows it."""

    mean: str
    outcome: str
    mark: str


@dataclass(frozen=True, slots=True)
class Overview:
    """A row of cells for each system, in the order in which the systems first occur."""

    sets: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def overview(result: ExperimentResult, measure: str) -> Overview:
    """Return the means of `measure`, with a mark only where a difference to the baseline is shown."""
    systems = list(dict.fromkeys(run.system for one in result.sets for run in one.runs))
    outcomes = {
        (one.name, comparison.system): verdict(comparison)[1]
        for one in result.sets
        for comparison in one.comparisons
        if comparison.measure == measure and comparison.baseline == baseline_of(result, one)
    }
    rows = []
    for system in systems:
        cells = []
        for one in result.sets:
            found = one.intervals.get(measure, {}).get(system)
            outcome = "baseline" if system == baseline_of(result, one) else outcomes.get((one.name, system), "unclear")
            cells.append(Cell("–" if found is None else numbers.score(found[0]), outcome, MARKS[outcome]))
        rows.append((system, tuple(cells)))
    return Overview(tuple(one.name for one in result.sets), tuple(rows))
