"""One mark for each system: what it scored, with its interval, against what that took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ragkit.eval.report.drawing import SETTINGS, label
from ragkit.eval.report.numbers import MINUS, quantity
from ragkit.eval.report.palette import FAINT, INK, MUTED, look

LINE = 0.165
"""Inches that a label needs."""

WIDTH = 6.5
LEFT = 1.0
"""Inches of the figure, and of what the name and the numbers of the upright axis need in the widest usual font."""

LONGEST_LABEL = 32
WIDE = 8.0
"""Largest over smallest value from which an axis is logarithmic."""

Point = tuple[float, float, float, float]
"""What it took, mean, low, high."""


@dataclass(frozen=True, slots=True)
class Series:
    """One system: its points from cheap to dear, joined if there are several.

    `place` gives colour and marker; without one the system is drawn in grey and not named.
    """

    name: str
    points: tuple[Point, ...]
    place: int | None
    is_baseline: bool


def draw_points(series: Sequence[Series], across: str, up: str) -> Figure:
    """Return the figure of all series; labels stand in a column on the right, joined to the last point of each."""
    with mpl.rc_context(SETTINGS):
        named = [one for one in series if one.place is not None]
        height = max(3.0, 0.9 + LINE * len(named))
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((LEFT / WIDTH, 0.5 / height, 0.63 - LEFT / WIDTH, 1 - 0.7 / height))
        for one in sorted(series, key=lambda one: one.place is not None):
            _draw(axes, one)
        axes.set_xlabel(label(across))
        axes.set_ylabel(label(up))
        _scale(axes, [point[0] for one in series for point in one.points])
        _upright(axes, [value for one in series for point in one.points for value in point[1:]])
        _label(axes, named, height)
    return figure


def _draw(axes: Axes, one: Series) -> None:
    colour, marker = _look(one)
    x, mean, low, high = (list(values) for values in zip(*one.points, strict=True))
    below = [max(0.0, value - bound) for value, bound in zip(mean, low, strict=True)]
    above = [max(0.0, bound - value) for value, bound in zip(mean, high, strict=True)]
    faint = one.place is None
    axes.errorbar(
        x,
        mean,
        yerr=[below, above],
        color=colour,
        marker=marker,
        markersize=2.5 if faint else 4.5,
        linewidth=0.7 if faint else 1.2,
        elinewidth=0.5 if faint else 0.9,
        capsize=0 if faint else 2,
    )


def _look(one: Series) -> tuple[str, str]:
    if one.place is None:
        return FAINT, "."
    colour, marker = look(one.place)
    return (INK if one.is_baseline else colour), marker


def _scale(axes: Axes, values: list[float]) -> None:
    if min(values) > 0 and max(values) / min(values) >= WIDE:
        axes.set_xscale("log")
        decades = math.log10(max(values) / min(values))
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif min(values) >= 0:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value)))


def _upright(axes: Axes, values: list[float]) -> None:
    """Set the ticks of the upright axis, in numbers of few digits also where all values are one."""
    if min(values) == max(values):
        axes.set_ylim(values[0] - 0.02, values[0] + 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}".replace("-", MINUS)))


def _label(axes: Axes, series: Sequence[Series], height: float) -> None:
    """Write every name beside the axes at the height of its last point, moved apart where they would meet."""
    bottom, top = axes.get_ylim()
    inches = axes.get_position().height * height
    wanted = [(one.points[-1][1] - bottom) / (top - bottom) * inches for one in series]
    for one, place in zip(series, spread(wanted, LINE, inches), strict=True):
        x, y = one.points[-1][:2]
        colour, _ = _look(one)
        axes.annotate(
            label(one.name, LONGEST_LABEL) + (" (baseline)" if one.is_baseline else ""),
            (x, y),
            xytext=(1.045, place / inches),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": MUTED,
                "linewidth": 0.5,
                "shrinkA": 0,
                "shrinkB": 4,
                "alpha": 0.55,
                "relpos": (0, 0.5),
            },
        )


def spread(wanted: Sequence[float], gap: float, height: float) -> list[float]:
    """Return places in the order of `wanted`, at least `gap` apart, near where they were wanted, within 0 to `height`.

    Neighbours that would meet become one block around the mean of what they wanted (pool adjacent violators). Where
    they do not fit into `height` they are evenly spread over it.
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    if gap * (len(order) - 1) > height:
        gap = height / (len(order) - 1)
    blocks: list[tuple[float, int]] = []  # (sum of wanted - offset, members)
    for rank, index in enumerate(order):
        blocks.append((wanted[index] - rank * gap, 1))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = (blocks[-1][0] + last[0], blocks[-1][1] + last[1])
    most = height - gap * (len(order) - 1)
    bases = [min(max(total / members, 0.0), most) for total, members in blocks for _ in range(members)]
    places = [0.0] * len(order)
    for rank, index in enumerate(order):
        places[index] = bases[rank] + rank * gap
    return places
