"""A result as Markdown: means with intervals, paired differences, and a winner only where there is one."""

from __future__ import annotations

from collections.abc import Iterator

from ragkit.eval.cost_rows import HEADER, NOTE, cost_rows
from ragkit.eval.counted import counted_otherwise
from ragkit.eval.experiment import segmentation_table
from ragkit.eval.experiment.markdown_table import table
from ragkit.eval.metrics import parse
from ragkit.eval.results import Comparison, ExperimentResult, SetResult


def markdown(result: ExperimentResult) -> str:
    """Return the whole result as Markdown: an overview of means for each set, then every measure with its tests."""
    return "\n".join(_lines(result)) + "\n"


def overview(part: SetResult, measures: list[str]) -> list[str]:
    """Return the table of means of one set; + and - mark what is better and worse than the baseline."""
    verdicts = {(item.measure, item.system): item for item in part.comparisons}
    measures = [measure for measure in measures if measure in part.intervals]
    header = ["system", "chunks", "mean tokens", *measures]
    rows = []
    for run in part.runs:
        cells = [run.system, str(run.chunks), f"{run.mean_chunk_tokens:.0f}"]
        for measure in measures:
            mean = part.intervals[measure][run.system][0]
            cells.append(f"{mean:.3f}{_mark(verdicts.get((measure, run.system)))}")
        rows.append(cells)
    return table(header, rows)


def details(part: SetResult, measure: str) -> list[str]:
    """Return the table of one measure on one set: mean, interval, difference to the baseline, its interval, verdict."""
    found = {item.system: item for item in part.comparisons if item.measure == measure}
    clustered = any(item.clustered is not None for item in found.values())
    header = ["system", "mean", "95 % interval", f"difference to {part.baseline}", "95 % interval"]
    header += ["95 % over documents"] if clustered else []
    rows = []
    for run in part.runs:
        mean, low, high = part.intervals[measure][run.system]
        cells = [run.system, f"{mean:.3f}", f"{low:.3f} to {high:.3f}"]
        item = found.get(run.system)
        if item is None:
            cells += ["", ""] + ([""] if clustered else []) + ["", "baseline"]
        else:
            cells += [f"{item.difference:+.3f}", f"{item.low:+.3f} to {item.high:+.3f}"]
            if clustered:
                cells += [f"{item.clustered[0]:+.3f} to {item.clustered[1]:+.3f}" if item.clustered else ""]
            cells += [f"{item.p_holm:.3g}", verdict(item)]
        rows.append(cells)
    return table([*header, "p (Holm)", "verdict"], rows)


def verdict(item: Comparison) -> str:
    """Return what a comparison shows: "better", "worse", or that no difference was shown, and which one could be."""
    if item.winner is None:
        return f"no difference shown (detectable: {item.detectable:.3f})"
    return "better" if item.winner == item.system else "worse"


def _lines(result: ExperimentResult) -> Iterator[str]:
    yield f"# {result.name}"
    yield ""
    yield f"{result.created}; {result.code_version}; {result.machine}; seed {result.seed}."
    if result.sets:
        yield ""
        yield from _legend(result)
        yield from _models(result)
    for part in result.sets:
        yield ""
        yield f"## {part.name}"
        yield ""
        left = "".join(f"; {count} left out: {reason}" for reason, count in part.left_out.items())
        yield f"{len(part.counted)} questions counted{left}. Baseline: {part.baseline}."
        yield ""
        for sentence in counted_otherwise(part):
            yield sentence
            yield ""
        yield from overview(part, result.measures)
        yield from _costs(part)
        for note in part.notes:
            yield ""
            yield f"Note: {note}."
        yield from _reached(result, part.name)
    for part in result.sets:
        for measure in (name for name in result.measures if name in part.intervals):
            yield ""
            lower = ", lower is better" if parse(measure).declaration.lower_is_better else ""
            yield f"### {part.name}: {measure}{lower}"
            yield ""
            yield from details(part, measure)
    if result.segmentations:
        yield from _segmentations(result)


def _segmentations(result: ExperimentResult) -> Iterator[str]:
    yield from ("", "# Segmentation", "", segmentation_table.LEGEND)
    for part in result.segmentations:
        yield from ("", f"## {part.name}: segments", "")
        yield from segmentation_table.lines_of(part)
        yield from _reached(result, part.name)
    for part in result.segmentations:
        for measure in part.measures:
            yield from ("", f"### {part.name}: {measure}{segmentation_table.lower(measure)}", "")
            yield from segmentation_table.details(part, measure)


def _legend(result: ExperimentResult) -> Iterator[str]:
    yield (
        "Means are over all questions with evidence; a question for which nothing was found counts as 0. Intervals "
        "are 95 % bootstrap intervals over questions. p is that of a paired permutation test, corrected after Holm "
        "over the systems of one measure and set. A system is better (+) or worse (-) than the baseline only if "
        "every interval of the difference excludes 0 and p < 0.05; otherwise no difference was shown, and "
        "`detectable` is the true difference that so many questions would show in four of five experiments."
    )
    yield f"Tokens are those of {result.experiment.get('tokenizer', 'words')}."


def _costs(part: SetResult) -> Iterator[str]:
    """Yield what model calls cost."""
    rows = cost_rows(part)
    if rows:
        yield from ("", f"Cost of model calls. {NOTE}", "")
        yield from table(list(HEADER), [row.cells() for row in rows])


def _models(result: ExperimentResult) -> Iterator[str]:
    """Yield which models wrote and judged the answers."""
    names = dict.fromkeys(run.language_model.name for one in result.sets for run in one.runs if run.language_model)
    if names:
        yield ""
        yield (
            f"Answers: {', '.join(names)}. A question that got no answer counts with the value of an empty one. "
            "Measures of answers count answerable questions with gold answers, Abstention unanswerable ones."
        )
    if result.judge is not None:
        yield ""
        yield (
            f"Judge: {result.judge.name}, rubric {result.rubric}. Scores of different judges do not compare, and a "
            "small judge is not a capable one: its replies have the right shape whatever they are worth."
        )


def _reached(result: ExperimentResult, name: str) -> Iterator[str]:
    """Yield what a matched length came to."""
    reached = result.experiment.get("reached", {}).get(name)
    if reached:
        yield ""
        yield f"Chunks matched to {result.experiment.get('matched_length')} tokens on average:"
        yield ""
        rows = [[system, f"{item['size']:.0f}", f"{item['mean_tokens']:.1f}"] for system, item in reached.items()]
        yield from table(["system", "size", "mean tokens reached"], rows)


def _mark(item: Comparison | None) -> str:
    if item is None or item.winner is None:
        return ""
    return " +" if item.winner == item.system else " -"
