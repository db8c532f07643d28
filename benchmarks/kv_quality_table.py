"""The tables and the figure of RESULTS.md from the records of `benchmarks.kv_quality`.

    python -m benchmarks.kv_quality_table FILE ... [--plot benchmarks/results/kv-quality.svg] [--all FILE.md]

Intervals are 95 % bootstrap intervals over questions; differences are paired. `--all` writes every case of every set.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.answering.reply import tidied
from ragkit.eval.metrics.answer.rouge import rouge_l
from ragkit.eval.metrics.answer.token_f1 import token_f1
from ragkit.eval.statistics.bootstrap import mean_interval

Case = tuple[str, str, float, int]
"""Store, policy, share, run length."""

FULL: Case = ("none", "full", 1.0, 1)
POLICIES = ("cachecraft", "epic", "hkvd", "query_probe", "random")
SHARES = (0.05, 0.10, 0.15, 0.20, 0.30, 0.45, 0.60)


class Scores(NamedTuple):
    """What is known of one case, one value a question."""

    share: NDArray[np.float64]
    computed: NDArray[np.float64]
    kl: NDArray[np.float64]
    agreement: NDArray[np.float64]


class Set(NamedTuple):
    """The records of one data set."""

    head: dict[str, Any]
    records: list[dict[str, Any]]
    cases: dict[Case, Scores]
    f1: dict[Case, NDArray[np.float64]]
    rouge: dict[Case, NDArray[np.float64]]


def read(paths: Sequence[Path]) -> Set:
    """Return what the runs over parts of one data set wrote."""
    parts = [[json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in paths]
    head = parts[0][0]
    records = [record for _, *part in parts for record in part]
    columns: dict[Case, list[list[float]]] = {}
    f1: dict[Case, list[float]] = {}
    rouge: dict[Case, list[float]] = {}
    for record in records:
        for *case, share, computed, kl, agreement in record["cases"]:
            columns.setdefault(tuple(case), []).append([share, computed, kl, agreement])
        whole = tidied(record["reply"], "")
        for *case, text in record["replies"]:
            reply = tidied(text, "")
            f1.setdefault(tuple(case), []).append(max(token_f1(reply, gold) for gold in record["answers"]))
            rouge.setdefault(tuple(case), []).append(rouge_l(reply, whole))
    cases = {case: Scores(*np.array(rows).T) for case, rows in columns.items()}
    return Set(head, records, cases, _arrays(f1), _arrays(rouge))


def _arrays(found: dict[Case, list[float]]) -> dict[Case, NDArray[np.float64]]:
    return {case: np.array(values) for case, values in found.items()}


def heading(one: Set) -> list[str]:
    tokens = np.array([record["tokens"] for record in one.records])
    context = np.array([record["context"] for record in one.records])
    noise = one.cases[FULL]
    return [
        f"**{one.head['set']}**, {len(one.records)} questions ({one.head['fitting']} of {one.head['asked']} fit the "
        f"window), prompts of {tokens.mean():,.0f} tokens on average, {context.mean():,.0f} of them chunks. "
        f"{one.head['device']}. Rounding alone (the full computation in the batch against alone): KL "
        f"{noise.kl.mean():.4f}, agreement {noise.agreement.mean():.3f}.",
        "",
    ]


def curves(one: Set, field: Callable[[Scores], NDArray[np.float64]], digits: int) -> list[str]:
    """Return the table of one measure: policies by share, chunks from `shuffled`."""
    nothing = one.cases["shuffled", "none", 0.0, 1]
    lines = ["| policy | 0 % | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |", "|---|" + "---:|" * 8]
    for policy in POLICIES:
        cells = [f"{field(nothing).mean():.{digits}f}"]
        for share in SHARES:
            values = field(one.cases["shuffled", policy, share, 1])
            cells.append(interval(values, digits))
        lines.append(f"| {policy} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def replies(one: Set) -> list[str]:
    """Return the table of written answers: F1 against gold and ROUGE-L against the full computation's answer."""
    full = one.f1[FULL]
    lines = [
        f"Full computation: F1 {interval(full, 3)}.",
        "",
        "| chunks from | policy | r | F1 | F1 lost | ROUGE-L to full |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for case in sorted(one.f1, key=lambda case: (case[0], case[1], case[2])):
        if case != FULL:
            lost = interval(full - one.f1[case], 3, sign=True)
            lines.append(
                f"| {case[0]} | {case[1]} | {case[2]:.0%} | {one.f1[case].mean():.3f} | {lost} | "
                f"{interval(one.rouge[case], 3)} |"
            )
    return [*lines, ""]


def granularity(sets: Sequence[Set]) -> list[str]:
    """Return experiment E1: the KL of runs of L tokens less that of single tokens, at equal share, all sets."""
    lengths = sorted({case[3] for one in sets for case in one.cases if case[0] == "shuffled"} - {1})
    lines = [
        "| set | policy | r | KL, single tokens | " + " | ".join(f"runs of {length}" for length in lengths) + " |",
        "|---|---|---:|---:|" + "---:|" * len(lengths),
    ]
    for one in sets:
        with_runs = sorted({(c[1], c[2]) for c in one.cases if c[0] == "shuffled" and c[3] > 1})
        for policy, share in with_runs:
            single = one.cases["shuffled", policy, share, 1].kl
            cells = [interval(one.cases["shuffled", policy, share, at].kl - single, 3, sign=True) for at in lengths]
            lines.append(
                f"| {one.head['set']} | {policy} | {share:.0%} | {single.mean():.3f} | " + " | ".join(cells) + " |"
            )
    return [*lines, ""]


def origins(sets: Sequence[Set]) -> list[str]:
    """Return the KL by what the cache holds: chunks computed alone, or among others."""
    lines = [
        "| set | policy | r | KL, isolated | KL, shuffled | isolated less shuffled |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for one in sets:
        for case in sorted((c for c in one.cases if c[0] == "isolated"), key=lambda case: (case[2], case[1])):
            alone, among = one.cases[case].kl, one.cases["shuffled", *case[1:]].kl
            lines.append(
                f"| {one.head['set']} | {case[1]} | {case[2]:.0%} | {alone.mean():.3f} | {among.mean():.3f} | "
                f"{interval(alone - among, 3, sign=True)} |"
            )
    return [*lines, ""]


def interval(values: NDArray[np.float64], digits: int, *, sign: bool = False) -> str:
    found = mean_interval(values)
    plus = "+" if sign else ""
    return f"{found.estimate:{plus}.{digits}f} [{found.low:{plus}.{digits}f}, {found.high:{plus}.{digits}f}]"


def against_random(one: Set) -> list[str]:
    """Return each policy's KL less that of random choice at the same share, and its share of full agreement."""
    lines = ["| policy | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |", "|---|" + "---:|" * len(SHARES)]
    for policy in POLICIES[:-1]:
        cells = []
        for share in SHARES:
            random = one.cases["shuffled", "random", share, 1].kl
            cells.append(interval(one.cases["shuffled", policy, share, 1].kl - random, 3, sign=True))
        lines.append(f"| {policy} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def plot(sets: Sequence[Set], path: Path) -> None:
    """Draw agreement with the full computation against the repair share, a panel for each set."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "ragkit", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(sets), figsize=(4.4 * len(sets), 3.9), squeeze=False)
    for panel, one in zip(panels[0], sets, strict=True):
        for policy in POLICIES:
            found = [mean_interval(one.cases["shuffled", "none", 0.0, 1].kl)]
            found += [mean_interval(one.cases["shuffled", policy, share, 1].kl) for share in SHARES]
            shares = [0.0, *(100 * share for share in SHARES)]
            panel.plot(shares, [at.estimate for at in found], marker="o", markersize=3, label=policy)
            panel.fill_between(shares, [at.low for at in found], [at.high for at in found], alpha=0.12)
        panel.set(xlabel="repair share r, % of chunk tokens", ylabel="KL of the first answer token", ylim=(0, None))
        panel.set_title(f"{one.head['set']}, {len(one.records)} questions")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--all", type=Path)
    args = parser.parse_args()
    files: dict[str, list[Path]] = {}
    for path in args.files:
        with path.open(encoding="utf-8") as lines:
            files.setdefault(json.loads(next(lines))["set"], []).append(path)
    sets = [read(paths) for paths in files.values()]
    whole: list[str] = []
    for one in sets:
        lines = heading(one)
        lines += ["KL of the first answer token from the full computation, by repair share:", ""]
        lines += curves(one, lambda scores: scores.kl, 3)
        print("\n".join(lines))
        lines += ["Less that of random choice:", "", *against_random(one)]
        lines += ["Teacher-forced tokens that agree:", "", *curves(one, lambda scores: scores.agreement, 3)]
        lines += replies(one)
        whole += lines
    print("\n".join(["Runs of tokens (E1): KL less that of single tokens:", "", *granularity(sets)]))
    print("\n".join(["What the cache holds:", "", *origins(sets)]))
    if args.all is not None:
        args.all.write_text("\n".join(["# Quality of chunk reuse", "", *whole]), encoding="utf-8")
    if args.plot is not None:
        plot(sets, args.plot)


if __name__ == "__main__":
    main()
