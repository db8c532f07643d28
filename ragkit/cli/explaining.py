"""`ragkit ask --explain` for people: one table of chunks, one of costs, and what the selector and controller did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ragkit.cli.output import show, show_table
from ragkit.cli.text import place, visible

if TYPE_CHECKING:
    from ragkit.answering.explain import Considered, Explanation


def show_explanation(explanation: Explanation) -> None:
    """Print `explanation` on standard output."""
    by = f" by {explanation.policy}" if explanation.policy else ""
    show(Text(), Text(f"Chunks considered, and what {explanation.selector or 'the selector'} did{by}:", style="bold"))
    show_table(_chunks(explanation))
    for line in _decisions(explanation):
        show(Text(visible(line)))
    show(Text(), Text("What it took:", style="bold"))
    show_table(_costs(explanation))


def _chunks(explanation: Explanation) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("", "rank", "score", "judged"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("where", "why"):
        table.add_column(title, overflow="fold")
    for row in explanation.considered:
        mark = Text("kept", style="green") if row.kept else Text("cut", style="dim")
        judged = "" if row.judged is None else f"{row.judged:.4g}"
        table.add_row(mark, str(row.rank), f"{row.score:.4g}", judged, Text(_where(row)), _why(row))
    return table


def _where(row: Considered) -> str:
    spans = row.parts or ((row.start, row.end),)
    return f"{place(row.source, row.page, row.line)} {' '.join(f'[{start}:{end}]' for start, end in spans)}"


def _why(row: Considered) -> Text:
    text = Text(visible(row.reason).replace("\n", " "))
    if row.flags:
        text.append(f"  [{', '.join(row.flags)}]", style="bold red")
    return text


def _decisions(explanation: Explanation) -> Iterator[str]:
    """Yield which settings were chosen, what rationales asked for, and what each round of a controller came to."""
    yield from _agent(explanation.selection.get("agent", {}))
    for number, one in enumerate(explanation.selection.get("rationales", ()), 1):
        yield f"Rationale {number} ({explanation.selection.get('source')}): {one['need']}"
    if explanation.selection.get("all_rejected"):
        yield "The verifier accepted nothing."
    controller = explanation.controller
    for one in controller.get("rounds", ()):
        yield f"Round {one['round']} of {controller['name']}: {_round(one)}"
    if controller:
        yield f"{controller['name']} stopped: {controller['stopped']}"


def _agent(agent: Mapping[str, Any]) -> Iterator[str]:
    """Yield which settings the agent of `configured` chose, why, and which known questions it asked."""
    if not agent:
        return
    yield f"Settings of this question: {agent['settings']}; {agent['reason']}"
    candidates = agent["candidates"]
    if candidates["given"] < candidates["trained"]:
        yield f"The agent was trained on {candidates['trained']} chunks a question; {candidates['given']} were given."
    for number, one in enumerate(agent["neighbours"], 1):
        worth = "not known" if one["chosen"] is None else f"{one['chosen']:.3f}"
        like = f"cosine {one['cosine']:.2f}; best: {one['best']}; chosen: {worth}"
        yield f"Neighbour {number} ({like}): {one['question']}"


def _round(one: Mapping[str, Any]) -> str:
    if "branch" in one:
        return f"{one['branch']}; {one['new']} new chunks for {one['query']!r}"
    if "failed" in one:
        return f"the judge did not answer ({one['failed']}), so the answer was accepted"
    if "score" not in one:
        return f"{len(one['kept'])} chunks, not judged"
    return f"{len(one['kept'])} chunks graded {one['score']}, {one['context']}: {one['reason']}"


def _costs(explanation: Explanation) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for title in ("seconds", "calls", "cached", "prompt tokens", "reply tokens", "dollars"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in explanation.spent:
        seconds = "" if row.seconds is None else f"{row.seconds:.3f}"
        table.add_row(
            visible(row.stage), seconds, *_counted(row.calls, row.cached, row.prompt_tokens, row.reply_tokens),
            _dollars(row.dollars, row.unpriced),
        )  # fmt: skip
    unpriced = sum(row.unpriced for row in explanation.spent)
    calls, cached = (sum(getattr(row, unit) for row in explanation.spent) for unit in ("calls", "cached"))
    table.add_row(
        Text("in all", style="bold"), f"{explanation.seconds:.3f}", *_counted(calls, cached, explanation.tokens), "",
        _dollars(explanation.dollars, unpriced),
    )  # fmt: skip
    return table


def _counted(*numbers: int) -> list[str]:
    return [f"{number:,}" if number else "" for number in numbers]


def _dollars(dollars: float, unpriced: int) -> str:
    if dollars:
        return f"{dollars:.6f}"
    return "no price" if unpriced else ""
