"""What chunk reuse did for an answer, for people: a line of sums and a table of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from ragkit.cli.output import show, show_table
from ragkit.cli.text import visible


def show_reuse(report: Mapping[str, Any]) -> None:
    """Print a report (`ragkit.cachecraft.report.ReuseReport.as_dict`) on standard output."""
    show(Text(), Text("Chunk reuse:", style="bold"))
    if report["off"]:
        show(Text(f"off: {visible(report['off'])}"))
        return
    show(Text(_sums(report)))
    for reason, times in report["misses"].items():
        show(Text(f"{times} not reused: {visible(reason)}"))
    for failure in report["failures"]:
        show(Text(f"went wrong: {visible(failure)}", style="yellow"))
    if report["divergence"] is not None:
        parted = "another" if report["parted"] else "the same"
        show(Text(f"checked against full recompute: {report['divergence']:.3f} nats, {parted} first token"))
    if report["stopped"]:
        show(Text(f"switched off from here on: {visible(report['stopped'])}", style="yellow"))
    if report["borders"]:
        show(Text(f"tokens differ from the plain model's at {report['borders']} places of the prompt"))
    show_table(_steps(report))


def _sums(report: Mapping[str, Any]) -> str:
    parts = (f"{report[f'{name}_tokens']:,} {name}" for name in ("reused", "repaired", "cold"))
    return (
        f"{report['context_tokens']:,} tokens of chunks: {', '.join(parts)} (share computed {report['share']:.1%}, "
        f"policy {report['policy']}); {report['computed_tokens']:,} of {report['prompt_tokens']:,} prompt tokens "
        f"computed, {report['loaded_bytes'] / 1e6:,.1f} MB loaded, {report['kept']} kept"
    )


def _steps(report: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("step", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    for step, seconds in report["seconds"].items():
        table.add_row(visible(step), f"{seconds:.3f}")
    if report["first_token_seconds"] is not None:
        table.add_row(Text("to the first token", style="bold"), f"{report['first_token_seconds']:.3f}")
    return table
