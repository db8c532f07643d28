"""The differences of single queries to the baseline, sorted: whether a mean comes from many queries or from a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ragkit.eval.report.drawing import SETTINGS, label
from ragkit.eval.report.numbers import difference
from ragkit.eval.report.palette import BETTER, INK, MUTED, WORSE

COLUMNS = 3
STEPS = 200
"""Values that one curve is drawn with: more cannot be seen at its width."""

LONGEST_TITLE = 36


@dataclass(frozen=True, slots=True)
class Paired:
    """One system: its differences to the baseline, positive where it is better, and whether a winner is shown."""

    system: str
    differences: NDArray[np.float64]
    shown: bool


def draw_differences(panels: Sequence[Paired], measure: str) -> Figure:
    """Return one small panel for each system, all on the same axes."""
    with mpl.rc_context(SETTINGS):
        rows = -(-len(panels) // COLUMNS)
        figure = Figure(figsize=(7.4, 1.55 * rows + 0.35))
        grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
        figure.subplots_adjust(
            left=0.09, right=0.975, top=1 - 0.3 / (1.55 * rows + 0.35), bottom=0.42 / (1.55 * rows + 0.35),
            hspace=0.55, wspace=0.14,
        )  # fmt: skip
        bound = max(float(np.abs(panel.differences).max(initial=0.0)) for panel in panels) or 1.0
        for axes, panel in zip(grid.flat, panels, strict=False):
            _draw(axes, panel)
            axes.set_ylim(-1.08 * bound, 1.08 * bound)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        grid[0][0].set_xticks([0, 50, 100], ["0", "50", "100 %"])
        for axes in list(grid.flat)[: len(panels)][-COLUMNS:]:
            axes.tick_params(labelbottom=True)
        figure.supxlabel(
            label(f"share of queries, sorted by the difference in {measure}"), fontsize=8, y=0.02, color=MUTED
        )
    return figure


def sampled(values: NDArray[np.float64], steps: int = STEPS) -> NDArray[np.float64]:
    """Return the values sorted from largest to smallest; beyond `steps` values evenly spaced ones, both ends kept."""
    ordered = np.sort(values)[::-1]
    if len(ordered) <= steps:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, steps).round().astype(np.int64)]


def shares(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the shares of queries with a positive difference, none, and a negative one."""
    count = max(len(values), 1)
    above, below = int((values > 0).sum()), int((values < 0).sum())
    return above / count, (len(values) - above - below) / count, below / count


def _draw(axes: Axes, panel: Paired) -> None:
    values = sampled(panel.differences)
    x = np.linspace(0, 100, len(values) + 1)
    heights = np.append(values, values[-1:])
    axes.fill_between(x, 0, np.maximum(heights, 0), step="post", color=BETTER, linewidth=0)
    axes.fill_between(x, 0, np.minimum(heights, 0), step="post", color=WORSE, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.6)
    above, same, below = shares(panel.differences)
    axes.set_title(
        label(panel.system, LONGEST_TITLE),
        fontsize=8, loc="left", pad=11, color=INK, fontweight="bold" if panel.shown else "normal",
    )  # fmt: skip
    mean = difference(float(panel.differences.mean()))
    words = f"{mean}: better {above:.0%}, same {same:.0%}, worse {below:.0%}"
    axes.text(0, 1.03, words, transform=axes.transAxes, fontsize=6.5, va="bottom")
    axes.tick_params(labelsize=7, length=2)
    axes.set_xlim(0, 100)
