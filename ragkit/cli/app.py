"""The `ragkit` command and what its exit statuses mean.

    0    done
    1    failure; `verify` and `repair`: problems were found, or remain
    2    wrong use: nothing was attempted
    3    some inputs failed, the rest was done
    130  interrupted; an index is what it was before
    141  the reader of standard output went away

This module and the commands it names import nothing heavy, so that `ragkit --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ragkit.cli import ask, cache, chunk, failure, index, models, query, repair, train, verify
from ragkit.cli import eval as evaluation

app = typer.Typer(
    name="ragkit",
    help="Documents to chunks, questions to answers with exact sources.",
    epilog="Every command takes --json. Start with: ragkit index FOLDER --index DIR",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("index")(index.index)
app.command("query")(query.query)
app.command("ask")(ask.ask)
app.command("chunk")(chunk.chunk)
app.command("verify")(verify.verify)
app.command("repair")(repair.repair)
app.add_typer(models.app, name="models")
app.add_typer(cache.app, name="cache")
app.add_typer(evaluation.app, name="eval")
app.add_typer(train.app, name="train")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ragkit {version('ragkit')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Documents to chunks, questions to answers with exact sources."""


def main() -> None:
    """Run the command line of this process and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Return the exit status of `ragkit arguments...`; every failure is reported on standard error first."""
    as_json = wants_json(arguments)
    _prepare_process()
    try:
        # Typer's own error output cannot speak JSON; outside standalone mode it raises instead.
        status = app(list(arguments), prog_name="ragkit", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return failure.report(error, as_json)
    if status == failure.INTERRUPTED:
        return failure.report(KeyboardInterrupt(), as_json)
    return int(status or 0)


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether `--json` stands among the options: it decides how even a call that cannot be parsed is answered.

    >>> wants_json(["query", "what?", "--json"]), wants_json(["query", "--", "--json"])
    (True, False)
    """
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _prepare_process() -> None:
    """Keep libraries from writing where replies and errors go, and replies from failing on the terminal's encoding."""
    quiet = {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    for variable, value in quiet.items():
        os.environ.setdefault(variable, value)
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")


if __name__ == "__main__":
    main()
