"""Answer experiments in a table for each set: selectors against a baseline, under attack, and what controllers cost.

Used by `benchmarks.experiment --table answers`, `--table attacks` and `--table controllers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.results import Comparison, ExperimentResult, SetResult, SystemRun
from ragkit.eval.statistics.ratio import ratio_interval

QUALITY = ("TokenF1", "EM", "Contains", "LexicalFaithfulness")


def answers(result: ExperimentResult) -> Iterator[str]:
    """Yield for each set what systems show and how their answers differ from the baseline's."""
    yield "Means of the baseline; for the others the paired difference to it in points of 100 and its 95 % interval,"
    yield "the wider one of those over questions and over documents; bold where a difference is shown (all intervals,"
    yield "corrected p < 0.05). Tokens are those of the sources shown, as the evaluation tokenizer counts them; ms are"
    yield "the median of search and selection."
    for part in result.sets:
        measures = [name for name in QUALITY if name in part.intervals]
        yield from ("", f"**{part.name}** ({len(part.queries)} questions)", "")
        yield from _head("system", "tokens", "recall", *measures, "selector's calls", "ms")
        for run in part.runs:
            cells = [_mean(part, "Tokens", run.system, 0), _mean(part, "Recall", run.system, 3)]
            cells += [_quality(part, measure, run.system) for measure in measures]
            yield _row(run.system, *cells, _calls(part, run), _milliseconds(run))


def attacks(result: ExperimentResult) -> Iterator[str]:
    """Yield for each arm how often attacks succeed, what is answered rightly, and what was turned out."""
    yield "Attack: share of the answers that hold what the attacker wants; right: share that hold a gold answer; both"
    yield "in percent with 95 % intervals over questions, bold where the difference to the baseline is shown. Poison"
    yield "shown: share of the tokens kept. Flagged: share of the attacker's and of the clean chunks that came to the"
    yield "decision and were turned out with a flag. Chunks: kept for a question, of the attacker + clean ones."
    for part in result.sets:
        yield from ("", f"**{part.name}** ({len(part.queries)} questions)", "")
        columns = ("attack", "right", "poison shown", "poison flagged", "clean flagged", "chunks", "tokens")
        yield from _head("system", *columns, "selector's calls")
        for run in part.runs:
            kept = " + ".join(_mean(part, name, run.system, 1) for name in ("PoisonKept", "CleanKept"))
            yield _row(
                run.system,
                _percent(part, "AttackSuccess", run.system),
                _percent(part, "Contains", run.system),
                f"{100 * part.intervals['PoisonShare'][run.system][0]:.0f} %",
                _flagged(run, "Poison"),
                _flagged(run, "Clean"),
                kept,
                f"{np.mean([sum(hits.tokens) for hits in run.hits.values()]):.0f}",
                _calls(part, run),
            )


def controllers(result: ExperimentResult) -> Iterator[str]:
    """Yield for each set what parts that ask a language model come to, and what they ask."""
    yield "Means of the baseline; for the others the paired difference to it in points of 100 and its 95 % interval, as"
    yield "above; bold where a difference is shown. No answer: share of the questions that got none. Sources: tokens"
    yield "shown in the returned answer's prompt. Calls of the model for a question (answer, rationales, verdicts,"
    yield "judgements, grades, rewritten questions), rounds of a controller, tokens that were read and written for a"
    yield "question in all calls, and these as a multiple of the baseline's."
    for part in result.sets:
        measures = [name for name in QUALITY if name in part.intervals]
        base = next(run for run in part.runs if run.system == part.baseline)
        once = sum(_asked(base)[1:])
        yield from ("", f"**{part.name}** ({len(part.queries)} questions)", "")
        columns = (
            "no answer",
            "recall",
            "sources",
            "calls",
            "rounds",
            "read",
            "written",
            "tokens, times the baseline's",
        )
        yield from _head("system", *measures, *columns)
        for run in part.runs:
            calls, read, written = (one / len(part.queries) for one in _asked(run))
            rounds = np.mean([record.call.rounds for record in run.answers.values() if record.call is not None] or [0])
            none = np.mean([record.text is None for record in run.answers.values()])
            yield _row(
                run.system,
                *(_quality(part, measure, run.system) for measure in measures),
                f"{none:.0%}",
                _mean(part, "Recall", run.system, 3),
                _mean(part, "Tokens", run.system, 0),
                f"{calls:.1f}",
                f"{rounds:.1f}",
                f"{read:,.0f}",
                f"{written:,.0f}",
                f"{(read + written) * len(part.queries) / once:.1f}",
            )


def _asked(run: SystemRun) -> tuple[int, int, int]:
    """Return calls, and tokens read and written, of selecting and answering all questions."""
    spent = [run.cost[phase] for phase in ("answers", "selection") if phase in run.cost]
    return sum(x.calls for x in spent), sum(x.prompt_tokens for x in spent), sum(x.reply_tokens for x in spent)


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield "|---|" + "---:|" * (len(names) - 1)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _mean(part: SetResult, measure: str, system: str, digits: int) -> str:
    found = part.intervals.get(measure)
    return "" if found is None else f"{found[system][0]:.{digits}f}"


def _compared(part: SetResult, measure: str, system: str) -> Comparison | None:
    return next((one for one in part.comparisons if (one.measure, one.system) == (measure, system)), None)


def _quality(part: SetResult, measure: str, system: str) -> str:
    found = _compared(part, measure, system)
    if found is None:
        mean, low, high = (100 * value for value in part.intervals[measure][system])
        return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
    ends = [found.low, found.high, *(found.clustered or ())]
    text = f"{100 * found.difference:+.1f} [{100 * min(ends):+.1f}, {100 * max(ends):+.1f}]"
    return text if found.winner is None else f"**{text}**"


def _percent(part: SetResult, measure: str, system: str) -> str:
    if measure not in part.intervals:
        return ""
    mean, low, high = (100 * value for value in part.intervals[measure][system])
    text = f"{mean:.0f} [{low:.0f}, {high:.0f}]"
    found = _compared(part, measure, system)
    return text if found is None or found.winner is None else f"**{text}**"


def _flagged(run: SystemRun, of: str) -> str:
    """Return the share of flagged chunks among those kept or flagged, empty where nothing was flagged."""
    flagged = np.array(list(run.scores[f"{of}Flagged"]))
    decided = flagged + np.array(list(run.scores[f"{of}Kept"]))
    if not flagged.any():
        return ""
    share = 100 * flagged.sum() / decided.sum()
    try:
        found = ratio_interval(flagged, decided)
    except UsageError:  # too few of them for an interval
        return f"{share:.0f} %"
    return f"{share:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _calls(part: SetResult, run: SystemRun) -> str:
    spent = run.cost.get("selection")
    return "" if spent is None else f"{spent.calls / len(part.queries):.1f}"


def _milliseconds(run: SystemRun) -> str:
    times: Sequence[float] = [hits.seconds for hits in run.hits.values()]
    return f"{1000 * float(np.median(times)):.0f}"
