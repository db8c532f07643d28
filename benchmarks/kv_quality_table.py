"""The tables and the figure of RESULTS.md from the records of `benchmarks.kv_quality`.

    python -m benchmarks.kv_quality_table FILE ... [--plot benchmarks/results/kv-quality.svg] [--all FILE.md]

Intervals are 95 % bootstrap intervals over questions; differences are paired. `--all` writes every case of every set.
Records of earlier runs may lack cases, and files of one set may overlap: a question counts once, as it stands in the
last file that has it, each case over the questions that have it.
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

Numbers = NDArray[np.float64]

FULL: Case = ("none", "full", 1.0, 1)
POLICIES = ("cachecraft", "epic", "hkvd", "query_probe", "random")
SHARES = (0.05, 0.10, 0.15, 0.20, 0.30, 0.45, 0.60)


NOTHING: Case = ("shuffled", "none", 0.0, 1)


class Scores(NamedTuple):
    """What is known of one case, one value a question, NaN where a question lacks it."""

    share: Numbers
    computed: Numbers
    kl: Numbers
    agreement: Numbers


class Set(NamedTuple):
    """The records of one data set; `alphas` are the cases of Cache-Craft's own rule."""

    head: dict[str, Any]
    records: list[dict[str, Any]]
    cases: dict[Case, Scores]
    alphas: dict[float, Scores]
    f1: dict[Case, Numbers]
    rouge: dict[Case, Numbers]
    repeated: int


def read(paths: Sequence[Path]) -> Set:
    """Return what the runs over parts of one data set wrote."""
    parts = [[json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in paths]
    found = {record["query"]: record for _, *part in parts for record in part}
    records = list(found.values())
    cases, alphas, f1, rouge = (_Columns(len(records)) for _ in range(4))
    for at, record in enumerate(records):
        for *case, share, computed, kl, agreement in record["cases"]:
            cases.put(at, tuple(case), [share, computed, kl, agreement])
        for alpha, *values in record.get("alphas", ()):
            alphas.put(at, alpha, values)
        whole = tidied(record["reply"], "")
        for *case, text in record["replies"]:
            reply = tidied(text, "")
            f1.put(at, tuple(case), [max(token_f1(reply, gold) for gold in record["answers"])])
            rouge.put(at, tuple(case), [rouge_l(reply, whole)])
    return Set(
        parts[-1][0],
        records,
        {case: Scores(*values) for case, values in cases.found.items()},
        {alpha: Scores(*values) for alpha, values in sorted(alphas.found.items())},
        {case: values[0] for case, values in f1.found.items()},
        {case: values[0] for case, values in rouge.found.items()},
        sum(len(part) - 1 for part in parts) - len(records),
    )


class _Columns:
    """Values by case and question."""

    def __init__(self, questions: int) -> None:
        self.questions = questions
        self.found: dict[Any, Numbers] = {}

    def put(self, question: int, case: Any, values: Sequence[float]) -> None:
        columns = self.found.setdefault(case, np.full((len(values), self.questions), np.nan))
        columns[:, question] = values


def kl_of(scores: Scores) -> Numbers:
    return scores.kl


def agreement_of(scores: Scores) -> Numbers:
    return scores.agreement


def heading(one: Set) -> list[str]:
    tokens = np.array([record["tokens"] for record in one.records])
    context = np.array([record["context"] for record in one.records])
    noise = one.cases[FULL]
    return [
        f"**{one.head['set']}**, {len(one.records)} questions ({one.head['fitting']} of {one.head['asked']} fit the "
        f"window), prompts of {tokens.mean():,.0f} tokens on average, {context.mean():,.0f} of them chunks. "
        f"{one.head['device']}. Rounding alone (the full computation in the batch against alone): KL "
        f"{mean(noise.kl, 4)}, agreement {mean(noise.agreement, 3)}." + _unequal(one),
        "",
    ]


def _unequal(one: Set) -> str:
    """Return what is to be said of questions that stand in two files, and of cases that not all questions have."""
    counts = [int(np.isfinite(values).sum()) for values in (*(scores.kl for scores in one.cases.values()),
              *(scores.kl for scores in one.alphas.values()), *one.f1.values())]  # fmt: skip
    said = f" {one.repeated} questions stand in two files and count once." if one.repeated else ""
    few = min(counts)
    return said + (f" Not every case was run on every question, the rarest on {few}." if few < max(counts) else "")


def curves(one: Set, field: Callable[[Scores], Numbers], digits: int) -> list[str]:
    """Return the table of one measure: policies by share, chunks from `shuffled`."""
    lines = ["| policy | 0 % | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |", "|---|" + "---:|" * 8]
    for policy in POLICIES:
        cells = [mean(_values(one, NOTHING, field), digits)]
        cells += [interval(_values(one, ("shuffled", policy, share, 1), field), digits) for share in SHARES]
        lines.append(f"| {policy} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def replies(one: Set) -> list[str]:
    """Return the table of written answers: F1 against gold and ROUGE-L against the full computation's answer."""
    full = one.f1[FULL]
    lines = [
        f"Full computation: F1 {interval(full, 3)}.",
        "",
        "| chunks from | policy | r | F1 | of full F1 | F1 lost | ROUGE-L to full |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for case in sorted(one.f1, key=lambda case: (case[0], case[1], case[2])):
        if case != FULL:
            both = np.isfinite(one.f1[case]) & np.isfinite(full)
            whole = full[both].sum()
            part = f"{one.f1[case][both].sum() / whole:.0%}" if whole else "-"
            lost = interval(full - one.f1[case], 3, sign=True)
            lines.append(
                f"| {case[0]} | {case[1]} | {case[2]:.0%} | {mean(one.f1[case], 3)} | {part} | {lost} | "
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
            single = _values(one, ("shuffled", policy, share, 1), kl_of)
            runs = [_values(one, ("shuffled", policy, share, at), kl_of) for at in lengths]
            cells = [interval(values - single, 3, sign=True) for values in runs]
            lines.append(
                f"| {one.head['set']} | {policy} | {share:.0%} | {mean(single, 3)} | " + " | ".join(cells) + " |"
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
            alone, among = one.cases[case].kl, _values(one, ("shuffled", *case[1:]), kl_of)
            lines.append(
                f"| {one.head['set']} | {case[1]} | {case[2]:.0%} | {mean(alone, 3)} | {mean(among, 3)} | "
                f"{interval(alone - among, 3, sign=True)} |"
            )
    return [*lines, ""]


def alpha_rule(sets: Sequence[Set]) -> list[str]:
    """Return eq. 12 and 14 at each alpha, beside the policy at the fixed share that is nearest to what it repaired."""
    lines = [
        "| set | alpha | realised r | KL | agreement | nearest share | its KL | KL less | its agreement |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in sets:
        fixed = [share for share in SHARES if ("shuffled", "cachecraft", share, 1) in one.cases]
        for alpha, found in one.alphas.items():
            cells = [interval(found.share, 3), interval(found.kl, 3), interval(found.agreement, 3)]
            if fixed:
                nearest = min(fixed, key=lambda share: abs(share - float(np.nanmean(found.share))))
                beside = one.cases["shuffled", "cachecraft", nearest, 1]
                kl, agreement = (np.where(np.isfinite(found.kl), at, np.nan) for at in (beside.kl, beside.agreement))
                cells += [f"{nearest:.0%}", mean(kl, 3), interval(found.kl - kl, 3, sign=True), mean(agreement, 3)]
            else:
                cells += ["-"] * 4
            lines.append(f"| {one.head['set']} | {alpha:g} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _values(one: Set, case: Case, field: Callable[[Scores], Numbers]) -> Numbers:
    """Return the values of a case, NaN everywhere where it was not run."""
    scores = one.cases.get(case)
    return np.full(len(one.records), np.nan) if scores is None else field(scores)


def mean(values: Numbers, digits: int) -> str:
    """Return the mean over the questions that have a value, "-" where none has."""
    known = values[np.isfinite(values)]
    return f"{known.mean():.{digits}f}" if len(known) else "-"


def interval(values: Numbers, digits: int, *, sign: bool = False) -> str:
    """Return the mean with its interval over the questions that have a value, "-" where fewer than two have."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return mean(values, digits)
    found = mean_interval(known)
    plus = "+" if sign else ""
    return f"{found.estimate:{plus}.{digits}f} [{found.low:{plus}.{digits}f}, {found.high:{plus}.{digits}f}]"


def against_random(one: Set) -> list[str]:
    """Return each policy's KL less that of random choice at the same share, and its share of full agreement."""
    lines = ["| policy | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |", "|---|" + "---:|" * len(SHARES)]
    for policy in POLICIES[:-1]:
        cells = []
        for share in SHARES:
            random = _values(one, ("shuffled", "random", share, 1), kl_of)
            cells.append(interval(_values(one, ("shuffled", policy, share, 1), kl_of) - random, 3, sign=True))
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
            cases = [NOTHING, *(("shuffled", policy, share, 1) for share in SHARES)]
            values = [_values(one, case, kl_of) for case in cases]
            found = [mean_interval(known[np.isfinite(known)]) for known in values]
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
        lines += curves(one, kl_of, 3)
        print("\n".join(lines))
        lines += ["Less that of random choice:", "", *against_random(one)]
        lines += ["Teacher-forced tokens that agree:", "", *curves(one, agreement_of, 3)]
        lines += replies(one)
        whole += lines
    print("\n".join(["Runs of tokens (E1): KL less that of single tokens:", "", *granularity(sets)]))
    print("\n".join(["What the cache holds:", "", *origins(sets)]))
    if any(one.alphas for one in sets):
        print("\n".join(["The alpha rule (eq. 12 and 14):", "", *alpha_rule(sets)]))
    if args.all is not None:
        args.all.write_text("\n".join(["# Quality of chunk reuse", "", *whole]), encoding="utf-8")
    if args.plot is not None:
        plot(sets, args.plot)


if __name__ == "__main__":
    main()
