"""`ragkit repair`: rebuild from the ledger what can be rebuilt, and say what cannot."""

from __future__ import annotations

from rich.text import Text

from ragkit.cli import options
from ragkit.cli.opening import inspected
from ragkit.cli.output import show, write_reply
from ragkit.cli.text import visible
from ragkit.cli.verify import show_problems
from ragkit.errors import MissingIndexError


def repair(folder: options.Index, as_json: options.Json = False) -> int:
    """Restore an index from its ledger. Exit status 1 says that something could not be restored."""
    if not folder.is_dir():
        raise MissingIndexError(f"There is no folder {folder}.", hint="Give the folder of an index.")
    with inspected(folder, "Repairing", silent=as_json) as pipeline:
        report = pipeline.repair()
    if as_json:
        from ragkit.cli.contract import RepairReply

        write_reply(RepairReply.of(report))
        return 1 if report.remaining else 0

    if not report.repaired and not report.remaining:
        show(Text(f"Nothing to repair: generation {report.generation} is sound."))
    for part in report.repaired:
        show(Text.assemble(("restored", "bold green"), f": {visible(part)}"))
    if report.remaining:
        show(Text("Could not be restored; index the sources again with --rebuild:", style="bold red"))
        show_problems(report.remaining)
        return 1
    return 0
