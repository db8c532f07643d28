"""`ragkit verify`: read every byte of an index and say what does not hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.text import Text

from ragkit.cli import options
from ragkit.cli.opening import inspected
from ragkit.cli.output import show, write_reply
from ragkit.cli.text import visible

if TYPE_CHECKING:
    from ragkit.index.verify import Problem


def verify(folder: options.Index, as_json: options.Json = False) -> int:
    """Check every document, chunk, vector and posting of an index. Exit status 1 says that problems were found."""
    with inspected(folder, "Verifying", silent=as_json) as pipeline:
        report = pipeline.verify()
    if as_json:
        from ragkit.cli.contract import VerifyReply

        write_reply(VerifyReply.of(report))
        return 1 if report.problems else 0

    held = f"generation {report.generation}, {report.documents} documents, {report.chunks} chunks"
    if not report.problems:
        show(Text.assemble(("ok", "bold green"), f": {held}."))
        return 0
    show(Text.assemble((f"{len(report.problems)} problems", "bold red"), f" in {folder}: {held}."))
    show_problems(report.problems)
    show(Text(f"Next: ragkit repair --index {folder}"))
    return 1


def show_problems(problems: Iterable[Problem]) -> None:
    """Print each problem with the part of the index it is in."""
    for problem in problems:
        show(Text.assemble("  ", (problem.part, "bold"), f": {visible(problem.detail)}"))
