"""What selectors keep, against the best five chunks: tokens, evidence recall, and whether both are shown to be good.

    python -m benchmarks.selector_table benchmarks/experiments/selectors.yaml [--sets NAME,NAME] [--plot FILE.svg]
    python -m benchmarks.selector_table DIR/results.json.gz

An experiment is run (what its work folder knows is not computed again); a result is only read. The reference is the
experiment's baseline. "Reached" is the bar: at most half of the reference's tokens, every interval of that ratio below
0.6, and every interval of the lost recall below 3 points; intervals over questions and, where there are 20 documents or
more, over documents. The table shows the wider of the two.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from ragkit.eval.experiment.replay import load_result
from ragkit.eval.experiment.run import RunOptions, run
from ragkit.eval.results import ExperimentResult, SetResult, SystemRun
from ragkit.eval.statistics.bootstrap import Interval
from ragkit.eval.statistics.ratio import Tradeoff, tradeoff

HALF, RATIO, LOSS = 0.5, 0.6, 0.03
"""The bar: the ratio at most, the upper end of its interval, and the upper end of the lost recall's."""
COLUMNS = (
    *("system", "units", "tokens", "of the reference", "recall", "recall lost, points", "precision", "IoU"),
    *("empty", "ms", "reached"),
)


def rows(result: SetResult, reference: str) -> Iterator[tuple[SystemRun, Tradeoff | None]]:
    """Yield each system with what it saves and loses against `reference`, None for the reference itself."""
    base = next((one for one in result.runs if one.system == reference), None)
    if base is None:
        sys.exit(f"{result.name} has no system {reference}; it has {', '.join(one.system for one in result.runs)}")
    clusters = _documents(result)
    for one in result.runs:
        if one is base:
            yield one, None
            continue
        yield (
            one,
            tradeoff(
                one.scores["Tokens"],
                base.scores["Tokens"],
                one.scores["Recall"],
                base.scores["Recall"],
                clusters,
            ),
        )


def reached(found: Tradeoff) -> bool:
    """Return whether the bar is reached."""
    return found.ratio.estimate <= HALF and found.within(RATIO, LOSS)


def table(result: SetResult, reference: str) -> Iterator[str]:
    """Yield the table of one set as lines of Markdown."""
    yield f"**{result.name}** ({len(result.counted)} questions, {len(set(_documents(result)))} documents)"
    yield ""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|---|" + "---:|" * (len(COLUMNS) - 1)
    for one, found in rows(result, reference):
        mean = {name: float(np.mean(values)) for name, values in one.scores.items()}
        cells = [
            one.system,
            f"{mean['Units']:.1f}",
            f"{mean['Tokens']:.0f}",
            "reference" if found is None else _wider(found.ratio, found.clustered_ratio, 1.0, 2),
            f"{mean['Recall']:.3f}",
            "" if found is None else _wider(found.loss, found.clustered_loss, 100.0, 1),
            f"{mean['Precision']:.3f}",
            f"{mean['IoU']:.3f}",
            f"{100 * mean['Empty']:.1f} %" if mean["Empty"] else "",
            f"{1000 * float(np.median([hits.seconds for hits in one.hits.values()])):.0f}",
            "yes" if found is not None and reached(found) else "",
        ]
        yield "| " + " | ".join(cells) + " |"


def _documents(result: SetResult) -> list[str]:
    """Return the document of each counted question: the one that it is asked of, or that of its first evidence."""
    by_id = {query.query_id: query for query in result.queries}
    counted = [by_id[query_id] for query_id in result.counted]
    return [query.scope or query.evidence[0][0] for query in counted]


def _wider(questions: Interval, documents: Interval | None, factor: float, digits: int) -> str:
    low, high = questions.low, questions.high
    if documents is not None:
        low, high = min(low, documents.low), max(high, documents.high)
    sign = "+" if factor > 1 else ""
    mean, least, most = (f"{factor * value:{sign}.{digits}f}" for value in (questions.estimate, low, high))
    return f"{mean} [{least}, {most}]"


def plot(results: Sequence[SetResult], path: Path) -> None:
    """Draw recall against tokens, a panel for each set: top-k as a line, every other system as a point."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "ragkit", "svg.fonttype": "none"})  # the same file for the same numbers
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, panels = pyplot.subplots(1, len(results), figsize=(5.2 * len(results), 4.4), squeeze=False)
    for panel, result in zip(panels[0], results, strict=True):
        places = {
            one.system: (float(np.mean(one.scores["Tokens"])), float(np.mean(one.scores["Recall"])))
            for one in result.runs
        }
        families: dict[str, list[tuple[float, float]]] = {}
        for name, place in places.items():
            families.setdefault(_family(name), []).append(place)
        for family, found in families.items():
            line = "-" if family.startswith("top_k") else ""
            panel.plot(*zip(*sorted(found), strict=True), linestyle=line, marker="o", markersize=4, label=family)
        panel.set(xscale="log", xlabel="tokens kept, mean", ylabel="evidence recall", title=result.name)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # no decade fits a panel: its minor labels overlap
        panel.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens:,.0f}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})


def _family(system: str) -> str:
    """Return the selector of a system, and its chunks where they are not the experiment's.

    >>> [_family(name) for name in ("top_k 5", "top_k 5, chunks of 100", "fusion, share 0.3")]
    ['top_k', 'top_k, chunks of 100', 'fusion']
    """
    name, _, chunks = system.partition(", chunks")
    selector = name.replace(",", " ").split()[0]
    return f"{selector}, chunks{chunks}" if chunks else selector


def _found(args: argparse.Namespace) -> ExperimentResult:
    if args.source.suffix not in (".yaml", ".yml"):
        return load_result(args.source)
    sets = tuple(args.sets.split(",")) if args.sets else ()
    return run(args.source, RunOptions(work=args.work, data=args.data, sample=args.sample, sets=sets))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("--sets", default="")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    result = _found(args)
    print(f"{describe()}.\n")
    for one in result.sets:
        print("\n".join(table(one, one.baseline or result.baseline)), end="\n\n")
    if args.plot is not None:
        plot(result.sets, args.plot)


if __name__ == "__main__":
    main()
