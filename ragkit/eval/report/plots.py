"""The plots of one data set: quality against tokens, index time, latency and cost, and single queries' differences."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ragkit.eval.report.cuts import cutoff, lower_is_better, retrieved_tokens
from ragkit.eval.report.drawing import drawing
from ragkit.eval.report.points import Point, Series, draw_points
from ragkit.eval.report.sorted_differences import Paired, draw_differences
from ragkit.eval.report.tables import latency, verdict
from ragkit.eval.results import ExperimentResult, SetResult, SystemRun

Drawn = tuple[Markup, str]


@dataclass(frozen=True, slots=True)
class Plot:
    """An inline SVG with what it shows in words, and the style sheet of its classes."""

    title: str
    caption: str
    svg: Markup
    style: str


def plots(result: ExperimentResult, one: SetResult, measure: str) -> list[Plot]:
    """Return the plots of `measure` on one data set; those for which there are no values are left out."""
    number = next(place for place, other in enumerate(result.sets) if other is one)
    interval = "Bars are 95 % intervals of the mean."
    family = re.sub(r"@.*", "", measure)
    budgets = f"Each point is one cut-off of {family}, at the mean number of tokens that it let through. {interval}"
    found = [("Quality against retrieved tokens", budgets, _by_tokens(result, one, measure), "retrieved tokens (mean)")]
    found.append(("Quality against index time", interval, _by(result, one, measure, _index_seconds), "index seconds"))
    found.append(("Quality against latency", interval, _by(result, one, measure, _milliseconds), "median ms per query"))
    for unit in sorted({unit for run in one.runs for unit, total in run.cost.items() if total > 0}):
        series = _by(result, one, measure, lambda run, unit=unit: run.cost.get(unit))  # type: ignore[misc] # mypy cannot infer a lambda with a default
        found.append((f"Quality against {unit}", interval, series, f"{unit} (total)"))
    drawn = []
    for place, (title, caption, series, across) in enumerate(found):
        if series:
            up = family if place == 0 else measure
            svg, style = drawing(draw_points(series, across, up), f"p{number}-{place}", f"{title} on {one.name}: {up}")
            drawn.append(Plot(title, caption, svg, style))
    return drawn + _differences(result, one, measure, f"p{number}-d")


def _by_tokens(result: ExperimentResult, one: SetResult, measure: str) -> list[Series]:
    """Return one series for each system: all cut-offs of the measure that `measure` is a cut-off of."""
    family = re.sub(r"@.*", "", measure)
    same = [name for name in result.measures if re.sub(r"@.*", "", name) == family]
    series = []
    for place, run in enumerate(one.runs):
        points = []
        for name in same:
            tokens = _mean_tokens(one, run, name)
            interval = one.intervals.get(name, {}).get(run.system)
            if tokens is not None and interval is not None:
                points.append((tokens, *interval))
        if points:
            series.append(Series(run.system, tuple(sorted(points)), place, run.system == result.baseline))
    return series


def _mean_tokens(one: SetResult, run: SystemRun, measure: str) -> float | None:
    records = {record.query_id: record for record in one.queries}
    cut = cutoff(measure)
    counts = [retrieved_tokens(records[name], run.hits[name], cut) for name in one.counted if name in run.hits]
    known = [count for count in counts if count is not None]
    # a query for which nothing came back took no tokens, and counts
    return sum(known) / len(one.counted) if known or not counts else None


def _by(
    result: ExperimentResult, one: SetResult, measure: str, took: Callable[[SystemRun], float | None]
) -> list[Series]:
    series = []
    for place, run in enumerate(one.runs):
        interval = one.intervals.get(measure, {}).get(run.system)
        value = took(run)
        if value is not None and interval is not None:
            point: Point = (value, *interval)
            series.append(Series(run.system, (point,), place, run.system == result.baseline))
    return series


def _index_seconds(run: SystemRun) -> float:
    return run.index_seconds


def _milliseconds(run: SystemRun) -> float | None:
    seconds = latency(run)
    return None if seconds is None else seconds * 1000


def _differences(result: ExperimentResult, one: SetResult, measure: str, name: str) -> list[Plot]:
    scores = {run.system: np.array(run.scores[measure]) for run in one.runs if measure in run.scores}
    baseline = scores.pop(result.baseline, None)
    if baseline is None or not scores or not len(baseline):
        return []
    sign = -1.0 if lower_is_better(measure) else 1.0
    shown = {
        comparison.system
        for comparison in one.comparisons
        if comparison.measure == measure and verdict(comparison)[1] != "unclear"
    }
    panels = [Paired(system, sign * (values - baseline), system in shown) for system, values in scores.items()]
    caption = (
        f"Every query's difference in {measure} to {result.baseline}, better ones first (upwards is better). "
        "A bold name: the interval of the mean difference excludes zero."
    )
    title = "Differences of single queries to the baseline"
    svg, style = drawing(draw_differences(panels, measure), name, f"{title} on {one.name}")
    return [Plot(title, caption, svg, style)]
