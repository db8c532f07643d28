"""An experiment in a few tables: differences to the baseline over all sets, and every measure in full."""

from __future__ import annotations

from collections.abc import Iterator

from ragkit.eval.experiment.segmentation_table import at_density, overview
from ragkit.eval.experiment.table import markdown
from ragkit.eval.results import Comparison, ExperimentResult, SegmentationResult, SetResult

PREFERRED = (
    *("Recall@tokens(1000)", "IoU@tokens(1000)", 'nDCG(unit="documents")@10', 'R(unit="documents")@10', "TokenF1"),
    *("Pk", "WindowDiff", "WF1"),
)
"""Measures shown in a digest, where an experiment has them; else its first two."""


def digest(result: ExperimentResult) -> Iterator[str]:
    """Yield tables with one row for each system and one column for each set: mean, difference, interval, verdict."""
    for part in result.segmentations:
        yield from _segments(part)
    if not result.sets:
        return
    measures = _measures(result)
    for measure in measures:
        yield f"**{measure}**: mean of the baseline; for the others the paired difference to it, [95 % interval] over"
        yield "questions, in points of 100; bold where a difference is shown (all intervals, corrected p < 0.05)."
        yield ""
        yield from _table(result, measure)
        yield ""
    shown = [item for one in result.sets for item in one.comparisons if item.measure in measures]
    better = sum(item.winner == item.system for item in shown)
    worse = sum(item.winner == item.baseline for item in shown)
    yield f"Of {len(shown)} comparisons in these tables {better} are better than the baseline, {worse} worse;"
    yield f"for {len(shown) - better - worse} no difference is shown."


def _segments(part: SegmentationResult) -> Iterator[str]:
    """Yield the means of a segmentation set, and its chunkers at equal density against chance."""
    yield f"**{part.name}**, {len(part.counted)} documents; + and - mark what is better and worse than {part.baseline}:"
    yield ""
    yield from overview(part)
    yield ""
    for found in part.matched:
        yield from at_density(found)
        yield ""


def _table(result: ExperimentResult, measure: str) -> Iterator[str]:
    sets = [one for one in result.sets if measure in one.intervals]
    names = list(dict.fromkeys(run.system for one in sets for run in one.runs))
    heads = [f"{one.name} ({len(one.counted)})" for one in sets]
    yield "| system | " + " | ".join(heads) + " |"
    yield "|---|" + "---:|" * len(sets)
    for name in names:
        yield f"| {name} | " + " | ".join(_cell(one, measure, name) for one in sets) + " |"


def _cell(one: SetResult, measure: str, system: str) -> str:
    if system not in one.intervals[measure]:
        return ""
    mean, low, high = (100 * value for value in one.intervals[measure][system])
    if system == one.baseline:
        return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
    found = next((item for item in one.comparisons if (item.measure, item.system) == (measure, system)), None)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]" if found is None else _difference(found)


def _difference(item: Comparison) -> str:
    difference, low, high = (100 * value for value in (item.difference, item.low, item.high))
    text = f"{difference:+.1f} [{low:+.1f}, {high:+.1f}]"
    return text if item.winner is None else f"**{text}**"


def details(result: ExperimentResult) -> str:
    """Return the overview of every set, and the tests of the measures in the digest."""
    return shortened(markdown(result), _measures(result))


def shortened(text: str, measures: list[str]) -> str:
    """Return the Markdown of a result without the tables of tests of all measures but `measures`."""
    head, *sections = text.split("\n### ")
    kept = [part for part in sections if part.partition("\n")[0].partition(": ")[2].split(", lower")[0] in measures]
    return "\n### ".join([head, *kept]).rstrip() + "\n"


def _measures(result: ExperimentResult) -> list[str]:
    return [measure for measure in PREFERRED if measure in result.measures] or result.measures[:2]
