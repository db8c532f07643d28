"""The plots of one data set: quality against tokens, index time, latency and cost, and single queries' differences."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ragkit.eval.cost_rows import per_question
from ragkit.eval.report.cuts import cutoff, lower_is_better, parsed, retrieved_tokens
from ragkit.eval.report.drawing import drawing
from ragkit.eval.report.points import Point, Series, draw_points
from ragkit.eval.report.sorted_differences import Paired, draw_differences
from ragkit.eval.report.tables import baseline_of, latency, verdict
from ragkit.eval.results import ExperimentResult, SetResult, SystemRun

MOST_NAMED = 12
"""Systems that a plot can name and still be read."""

BARS = "Bars are 95 % intervals of the mean."
COMPUTED = "Systems without an index are left out, and those whose vectors came from a cache."
UNITS = {
    "tokens": "Prompt and reply of the answers, and the index's share; the judge is not in it.",
    "seconds": "Time of the answers, as shares of their batches.",
    "dollars": "Prompt and reply of the answers, and the index's share; the judge is not in it.",
}
BEST = f"the {MOST_NAMED - 1} best means"


@dataclass(frozen=True, slots=True)
class Plot:
    """An inline SVG with what it shows in words, and the style sheet of its classes."""

    title: str
    caption: str
    svg: Markup
    style: str


@dataclass(frozen=True, slots=True)
class View:
    """Quality against one thing that it takes; `across` and `up` name the axes."""

    title: str
    caption: str
    across: str
    up: str
    series: list[Series]


def plots(result: ExperimentResult, one: SetResult, measure: str) -> list[Plot]:
    """Return the plots of `measure` on one data set; those for which there are no values are left out."""
    name = f"p{next(place for place, other in enumerate(result.sets) if other is one)}"
    drawn = []
    for place, view in enumerate(_views(result, one, measure)):
        if view.series:
            figure = draw_points(view.series, view.across, view.up)
            svg, style = drawing(figure, f"{name}-{place}", f"{view.title} on {one.name}: {view.up}")
            drawn.append(Plot(view.title, view.caption, svg, style))
    return drawn + _differences(result, one, measure, f"{name}-d")


def named(result: ExperimentResult, one: SetResult, measure: str) -> list[str]:
    """Return the systems that plots name, in the order of the records: all, or the baseline and the best means."""
    systems = [run.system for run in one.runs]
    if len(systems) <= MOST_NAMED:
        return systems
    sign = 1 if lower_is_better(measure) else -1
    means = {system: sign * found[0] for system, found in one.intervals.get(measure, {}).items()}
    compared_with = baseline_of(result, one)
    others = [system for system in systems if system in means and system != compared_with]
    kept = {compared_with, *sorted(others, key=means.__getitem__)[: MOST_NAMED - 1]}
    return [system for system in systems if system in kept]


def _place(names: list[str], system: str) -> int | None:
    return names.index(system) if system in names else None


def _views(result: ExperimentResult, one: SetResult, measure: str) -> list[View]:
    family = _family(measure)
    bars = BARS if len(one.runs) <= MOST_NAMED else f"{BARS} Named are the baseline and {BEST}; the others are grey."
    by_tokens = f"Each point is one cut-off of {family}, at the mean number of tokens that it let through. {bars}"
    views = [
        View("Quality against retrieved tokens", by_tokens, "retrieved tokens (mean)", family,
             _by_tokens(result, one, measure)),
        View("Quality against index time", f"{bars} {COMPUTED}", "index seconds", measure,
             _by(result, one, measure, _index_seconds)),
        View("Quality against latency", bars, "median ms per query", measure,
             _by(result, one, measure, _milliseconds)),
    ]  # fmt: skip
    return views + [_cost_view(result, one, measure, unit, bars) for unit in UNITS]


def _cost_view(result: ExperimentResult, one: SetResult, measure: str, unit: str, bars: str) -> View:
    """Return quality against what a question costs in model calls; a system of which that is not known is left out."""
    costs = {run.system: per_question(run, unit, len(one.queries)) for run in one.runs}
    series = _by(result, one, measure, lambda run: costs[run.system]) if any(costs.values()) else []
    left = "" if None not in costs.values() else " Systems without model calls or price are left out."
    caption = f"{bars} {UNITS[unit]}{left}"
    return View(f"Quality against cost in {unit}", caption, f"{unit} a question", measure, series)


def _index_seconds(run: SystemRun) -> float | None:
    return None if run.context != "index" or run.cached_vectors else run.index_seconds


def _family(measure: str) -> str:
    """Return the measure as written, without its cut-off.

    >>> _family('IoU(unit="tokens")@tokens(400)')
    'IoU(unit="tokens")'
    """
    return re.sub(r"@[^@]*$", "", measure)


def _by_tokens(result: ExperimentResult, one: SetResult, measure: str) -> list[Series]:
    """Return one series for each system: all measures that differ from `measure` in their cut-off only."""
    found = parsed(measure)
    if found is not None and found.declaration.needs != "hits":
        return []  # answers see the hits that fit their prompt: the plot of tokens a question is theirs
    same = [name for name in result.measures if _family(name) == _family(measure)]
    names, series = named(result, one, measure), []
    for run in one.runs:
        points = []
        for name in same:
            tokens = _mean_tokens(one, run, name)
            interval = one.intervals.get(name, {}).get(run.system)
            if tokens is not None and interval is not None:
                points.append((tokens, *interval))
        if points:
            series.append(
                Series(
                    run.system, tuple(sorted(points)), _place(names, run.system), run.system == baseline_of(result, one)
                )
            )
    return series


def _mean_tokens(one: SetResult, run: SystemRun, measure: str) -> float | None:
    """Return the mean over all counted queries; one for which nothing came back took no tokens, and counts."""
    counted = one.counted_for(measure)
    scopes = {record.query_id: record.scope for record in one.queries}
    tokens = retrieved_tokens([scopes.get(name) for name in run.hits], run.hits.hits, cutoff(measure))
    if tokens is None or not counted:
        return None
    places = [run.hits.places[name] for name in counted if name in run.hits]
    return float(tokens[places].sum()) / len(counted)


def _by(
    result: ExperimentResult, one: SetResult, measure: str, took: Callable[[SystemRun], float | None]
) -> list[Series]:
    names, series = named(result, one, measure), []
    for run in one.runs:
        interval = one.intervals.get(measure, {}).get(run.system)
        value = took(run)
        if value is not None and interval is not None:
            point: Point = (value, *interval)
            series.append(
                Series(run.system, (point,), _place(names, run.system), run.system == baseline_of(result, one))
            )
    return series


def _milliseconds(run: SystemRun) -> float | None:
    seconds = latency(run) if run.context == "index" else None
    return None if seconds is None else seconds * 1000


def _differences(result: ExperimentResult, one: SetResult, measure: str, name: str) -> list[Plot]:
    names = named(result, one, measure)
    scores = {
        run.system: run.scores[measure].array.astype(np.float64)
        for run in one.runs
        if measure in run.scores and run.system in names
    }
    compared_with = baseline_of(result, one)
    baseline = scores.pop(compared_with, None)
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
        f"Every query's difference in {measure} to {compared_with}, the best ones first; "
        f"above the line the system is better{' (its value is lower)' if sign < 0 else ''}. "
        f"A bold name: a winner is named in the table. {f'Shown are {BEST}.' if len(one.runs) > MOST_NAMED else ''}"
    )
    title = "Differences of single queries to the baseline"
    svg, style = drawing(draw_differences(panels, measure), name, f"{title} on {one.name}")
    return [Plot(title, caption, svg, style)]
