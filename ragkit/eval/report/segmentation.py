"""The sections of segmentation sets: means, quality against boundary density, and comparisons at equal density."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ragkit.eval.experiment.segmentation_judging import BOR, alike
from ragkit.eval.report import numbers
from ragkit.eval.report.cuts import lower_is_better
from ragkit.eval.report.drawing import drawing
from ragkit.eval.report.plots import Plot
from ragkit.eval.report.points import Point, Series, draw_points
from ragkit.eval.report.tables import Mean, verdict
from ragkit.eval.results import BoundaryRun, Comparison, Curve, MatchedDensity, SegmentationResult

WIDER = 0.03
RANDOM, SPACED = "as many random", "as many spaced"


@dataclass(frozen=True, slots=True)
class Row:
    """One system: its means, BOR first, and its chunks."""

    system: str
    is_baseline: bool
    chunks: str
    chunk_tokens: str
    inside: str
    means: tuple[Mean, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One system against another or against chance; `outcome` is "better", "worse" or "unclear"."""

    system: str
    mean: str
    other: str
    difference: str
    interval: str
    p_holm: str
    verdict: str
    outcome: str


@dataclass(frozen=True, slots=True)
class DifferenceTable:
    """The differences in one measure; `missing` names the chunkers that do not reach the density."""

    title: str
    rows: tuple[Difference, ...]
    missing: str = ""


@dataclass(frozen=True, slots=True)
class SegmentationView:
    """What the page shows of one segmentation set."""

    name: str
    fingerprint: str
    units: str
    counted: int
    left_out: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[Row, ...]
    plots: tuple[Plot, ...]
    matched: tuple[DifferenceTable, ...]
    chance: tuple[DifferenceTable, ...]


def segmentation_view(part: SegmentationResult, name: str) -> SegmentationView:
    """Return what the page shows of `part`; `name` begins the ids of its plots."""
    return SegmentationView(
        name=part.name,
        fingerprint=part.fingerprint[:12],
        units=part.units,
        counted=len(part.counted),
        left_out=tuple(part.left_out.items()),
        notes=tuple(part.notes),
        measures=(BOR, *part.measures),
        rows=tuple(_row(part, run) for run in part.runs),
        plots=tuple(_plots(part, name)),
        matched=tuple(table for found in part.matched for table in _at_density(found)),
        chance=tuple(_at_settings(part)),
    )


def _row(part: SegmentationResult, run: BoundaryRun) -> Row:
    found = [part.intervals[measure][run.system] for measure in (BOR, *part.measures)]
    return Row(
        system=run.system,
        is_baseline=run.system == part.baseline,
        chunks=f"{run.chunks:,}",
        chunk_tokens=numbers.quantity(run.mean_chunk_tokens),
        inside=f"{run.inside / max(run.predicted, 1):.0%}",
        means=tuple(Mean(numbers.score(mean), numbers.interval(low, high)) for mean, low, high in found),
    )


def _plots(part: SegmentationResult, name: str) -> Iterator[Plot]:
    """Yield one plot for each measure of the curves."""
    for place, measure in enumerate(part.curves[0].points[0].means if part.curves else ()):
        series = [
            Series(curve.chunker, _points(curve, measure), number, is_baseline=False)
            for number, curve in enumerate(part.curves)
        ]
        for baseline, label in (("drawn", RANDOM), ("spaced", SPACED)):
            series.append(Series(label, _chance(part.curves, measure, baseline), len(series), is_baseline=False))
        title = f"{measure}{' (lower is better)' if lower_is_better(measure) else ''} against boundary density"
        options = sorted({curve.option for curve in part.curves})
        caption = (
            f"Each point is one value of the chunker's {' or '.join(options)}, at its mean BOR (1: as many boundaries "
            "as gold ones). Beside them as many boundaries in each document at random and equally spaced: a chunker "
            "that is not off these lines places its boundaries no better. Bars are 95 % intervals over documents."
        )
        figure = draw_points(series, "BOR (mean over documents)", measure)
        left, bottom, width, height = figure.axes[0].get_position().bounds
        # room for three decimals: curves of one measure lie close together
        figure.axes[0].set_position((left + WIDER, bottom, width - WIDER, height))
        svg, style = drawing(figure, f"{name}-{place}", title)
        yield Plot(title, caption, svg, style)


def _points(curve: Curve, measure: str) -> tuple[Point, ...]:
    return tuple((point.density, *point.means[measure]) for point in curve.points)


def _chance(curves: Sequence[Curve], measure: str, baseline: str) -> tuple[Point, ...]:
    """Return what chance reaches at the densities of all curves."""
    found = {(point.density, getattr(point, baseline)[measure]) for curve in curves for point in curve.points}
    return tuple((density, value, value, value) for density, value in sorted(found))


def _at_density(found: MatchedDensity) -> Iterator[DifferenceTable]:
    for measure in (name for name in found.intervals if name != BOR):
        rows = [
            _difference(item, found.intervals[measure][item.system][0])
            for item in _ordered((*found.placements, *found.comparisons), measure, list(found.mixed))
        ]
        yield DifferenceTable(f"{measure} at BOR {found.density:g}", tuple(rows), ", ".join(found.not_reached))


def _at_settings(part: SegmentationResult) -> Iterator[DifferenceTable]:
    density = {system: found[0] for system, found in part.intervals[BOR].items()}
    comparable = [item for item in part.comparisons if alike(density[item.system], density[item.baseline])]
    for measure in part.measures:
        rows = [
            _difference(item, part.intervals[measure][item.system][0])
            for item in _ordered((*part.placements, *comparable), measure, [run.system for run in part.runs])
        ]
        yield DifferenceTable(measure, tuple(rows))


def _ordered(items: Sequence[Comparison], measure: str, systems: Sequence[str]) -> list[Comparison]:
    """Return the comparisons in `measure`, system by system."""
    return [item for system in systems for item in items if item.system == system and item.measure == measure]


def _difference(item: Comparison, mean: float) -> Difference:
    words, outcome = verdict(item)
    return Difference(
        system=item.system,
        mean=numbers.score(mean),
        other=item.baseline,
        difference=numbers.difference(item.difference),
        interval=numbers.interval(item.low, item.high, signed=True),
        p_holm=numbers.p_value(item.p_holm),
        verdict={"better": "better", "worse": "worse"}.get(outcome, words),
        outcome=outcome,
    )


def html(view: SegmentationView, template: str, place: int) -> Markup:
    """Return the section of one set, made of `template`; every text in it is escaped."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return Markup(page.from_string(template).render(view=view, place=place))  # noqa: S704 # jinja escapes what it fills in
