"""`ragkit models`: the small models that ragkit fetches by itself, and which of them are on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragkit.cli import options
from ragkit.cli.notices import notices
from ragkit.cli.output import show, write_reply
from ragkit.cli.progress import progress
from ragkit.errors import UnknownPartError

if TYPE_CHECKING:
    from ragkit.models.hub import ModelInfo

app = typer.Typer(help="List the models that ragkit fetches by itself, or fetch them.")

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Which models; all of them by default.")]


@app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: options.Json = False) -> int:
    """List the models that ragkit fetches by itself, or fetch them."""
    return 0 if context.invoked_subcommand is not None else list_models(as_json)


@app.command("list")
def list_models(as_json: options.Json = False) -> int:
    """List the models, and which of them can be used with the network off."""
    from ragkit.models.hub import known_models

    _reply(known_models(), as_json)
    return 0


@app.command("fetch")
def fetch(names: Names = None, as_json: options.Json = False) -> int:
    """Fetch models into the user's cache folder; what is there already is left alone."""
    from ragkit.models.hub import known_models, model_folder

    known = [model.name for model in known_models()]
    wanted = names or known
    _check(wanted, known)
    with notices(silent=as_json), progress("Fetching", silent=as_json) as report:
        for name in wanted:
            model_folder(name, progress=report)
    _reply([model for model in known_models() if model.name in wanted], as_json)
    return 0


def _check(wanted: Sequence[str], known: list[str]) -> None:
    """Raise UnknownPartError for the first name that ragkit does not know."""
    from ragkit.plugins import suggestion

    for name in wanted:
        if name not in known:
            raise UnknownPartError(
                f"ragkit fetches no model named {name!r} by itself.",
                hint=f"{suggestion(name, known)} Known: {', '.join(known)}.".lstrip(),
            )


def _reply(found: Sequence[ModelInfo], as_json: bool) -> None:
    if as_json:
        from ragkit.cli.contract import ModelReply, ModelsReply

        write_reply(ModelsReply(models=[ModelReply.of(model) for model in found]))
        return
    for model in found:
        state = str(model.path) if model.present else "not here yet; run: ragkit models fetch"
        facts = f"  {model.role}, {model.bytes / 1e6:.0f} MB, {model.license}  "
        show(Text.assemble((model.name, "bold"), facts, (state, "dim")))
