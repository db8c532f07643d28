"""A segmentation result as Markdown: means, what is better than chance, curves, and chunkers at equal density."""

from __future__ import annotations

from collections.abc import Iterator

from ragkit.eval.experiment.markdown_table import table
from ragkit.eval.experiment.segmentation_judging import BOR, alike
from ragkit.eval.metrics import parse
from ragkit.eval.results import Comparison, MatchedDensity, SegmentationResult

LEGEND = (
    "Values are per document, intervals are 95 % bootstrap intervals over documents, p is that of a paired permutation "
    "test, corrected after Holm over the systems of one measure. BOR is predicted / gold boundaries: more boundaries "
    "find more of the gold ones, so systems are compared only where their mean BORs are within 10 %, and each is also "
    "compared with as many boundaries in each document drawn at random and spaced equally. A chunk's start is a "
    "boundary between units, at the nearest end of a unit; `inside` is the share that stood within one."
)


def lines_of(part: SegmentationResult) -> Iterator[str]:
    """Yield the section of one segmentation set."""
    left = "".join(f"; {count} left out: {reason}" for reason, count in part.left_out.items())
    yield f"{len(part.counted)} documents counted{left}; boundaries stand between {part.units}."
    yield f"Baseline: {part.baseline}."
    yield ""
    yield from overview(part)
    for note in part.notes:
        yield ""
        yield f"Note: {note}."
    yield ""
    yield "Better (+) or worse (-) than as many boundaries of its own at random, then equally spaced, by measure:"
    yield ""
    yield from _against_chance(part)
    for found in part.matched:
        yield ""
        yield from at_density(found)
    for curve in part.curves:
        yield ""
        yield f"Density and quality of {curve.chunker} by its {curve.option}:"
        yield ""
        names = list(curve.points[0].means)
        header = [curve.option, BOR, "inside"]
        header += [head for name in names for head in (name, "random", "spaced")]
        rows = []
        for point in curve.points:
            cells = [f"{point.value:g}", f"{point.density:.2f}", f"{point.inside:.0%}"]
            for name in names:
                cells += [f"{point.means[name][0]:.3f}", f"{point.drawn[name]:.3f}", f"{point.spaced[name]:.3f}"]
            rows.append(cells)
        yield from table(header, rows)


def overview(part: SegmentationResult) -> list[str]:
    """Return the table of means; + and - mark what is better and worse than the baseline at the same density."""
    verdicts = {(item.measure, item.system): item for item in part.comparisons}
    header = ["system", "chunks", "mean tokens", "inside", BOR, *part.measures]
    rows = []
    for run in part.runs:
        cells = [
            run.system,
            str(run.chunks),
            f"{run.mean_chunk_tokens:.0f}",
            f"{run.inside / max(run.predicted, 1):.0%}",
        ]
        cells.append(f"{part.intervals[BOR][run.system][0]:.2f}")
        for measure in part.measures:
            item = verdicts.get((measure, run.system))
            mark = "" if item is None or item.winner is None else " +" if item.winner == item.system else " -"
            cells.append(f"{part.intervals[measure][run.system][0]:.3f}{mark}")
        rows.append(cells)
    return table(header, rows)


def details(part: SegmentationResult, measure: str) -> list[str]:
    """Return the table of one measure: mean and interval, difference to the baseline and to both kinds of chance."""
    found = {item.system: item for item in part.comparisons if item.measure == measure}
    header = ["system", BOR, "mean", "95 % interval", f"difference to {part.baseline}", "95 % interval", "p (Holm)"]
    rows = []
    for run in part.runs:
        mean, low, high = part.intervals[measure][run.system]
        cells = [run.system, f"{part.intervals[BOR][run.system][0]:.2f}", f"{mean:.3f}", f"{low:.3f} to {high:.3f}"]
        item = found.get(run.system)
        if item is None:
            cells += ["", "", "", "baseline"]
        else:
            cells += [f"{item.difference:+.3f}", f"{item.low:+.3f} to {item.high:+.3f}", f"{item.p_holm:.3g}"]
            cells.append(verdict(part, item))
        rows.append(cells)
    return table([*header, "verdict"], rows)


def verdict(part: SegmentationResult, item: Comparison) -> str:
    """Return what a comparison with the baseline shows; where the densities differ, that it shows nothing."""
    own, base = (part.intervals[BOR][name][0] for name in (item.system, item.baseline))
    if not alike(own, base):
        return f"not compared: BOR {own:.2f} against {base:.2f}"
    return _said(item)


def at_density(found: MatchedDensity) -> list[str]:
    """Return the comparison at one density: every chunker beside chance, and against the baseline."""
    if not found.mixed:
        return [f"At BOR {found.density:g}: no curve passes it."]
    by = {(item.measure, item.system, item.baseline): item for item in (*found.comparisons, *found.placements)}
    rows = []
    for measure in (name for name in found.intervals if name != BOR):
        for system, (mean, low, high) in found.intervals[measure].items():
            cells = [measure, system, f"{mean:.3f}", f"{low:.3f} to {high:.3f}"]
            for other in ("as many random", "as many spaced", found.baseline):
                cells.append(_difference(by.get((measure, system, other))))
            rows.append(cells)
    missing = f" Not reached by {', '.join(found.not_reached)}." if found.not_reached else ""
    lead = (
        f"At BOR {found.density:g}, between two settings of each chunker.{missing} A mark is shown at p (Holm) < 0.05:"
    )
    header = ["measure", "chunker", "mean", "95 % interval", "to random", "to spaced", f"to {found.baseline}"]
    return [lead, "", *table(header, rows, texts=2)]


def _against_chance(part: SegmentationResult) -> list[str]:
    found = {(item.measure, item.system, item.baseline): item for item in part.placements}
    rows = []
    for run in part.runs:
        cells = [run.system]
        for measure in part.measures:
            for other in ("as many random", "as many spaced"):
                cells.append(_difference(found.get((measure, run.system, other))))
        rows.append(cells)
    return table(["system", *(f"{m}, {b}" for m in part.measures for b in ("random", "spaced"))], rows)


def _difference(item: Comparison | None) -> str:
    if item is None:
        return ""
    mark = "" if item.winner is None else " +" if item.winner == item.system else " -"
    return f"{item.difference:+.3f}{mark}"


def _said(item: Comparison) -> str:
    if item.winner is None:
        return f"no difference shown (detectable: {item.detectable:.3f})"
    return "better" if item.winner == item.system else "worse"


def lower(measure: str) -> str:
    """Return what to write after a measure of which less is better."""
    return ", lower is better" if parse(measure).declaration.lower_is_better else ""
