"""Standard output and standard error: JSON replies, and text for people."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ragkit.errors import RagkitError

if TYPE_CHECKING:
    from ragkit.cli.contract import Reply

SOME_FAILED = 3
"""Some inputs failed, the rest was done."""

WIDTH = 160
"""Columns of a table that is not shown on a terminal."""

READER_GONE = 141
"""What a shell reports for a tool that was stopped by SIGPIPE."""


class ReaderGoneError(RagkitError):
    """Whoever read standard output has gone (`ragkit query ... | head`): nothing is left to say."""

    exit_status = READER_GONE


class PipeConsole(Console):
    """A console whose reader may go away; Rich's own would end the process with status 1."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise ReaderGoneError."""
        raise ReaderGoneError("")


def console(*, stderr: bool = False) -> Console:
    """Return a console on one of the standard streams; colours are off where it is not a terminal."""
    return PipeConsole(stderr=stderr, highlight=False, markup=False, emoji=False)


def show_table(table: Table) -> None:
    """Print `table` on standard output: as wide as the terminal, or else WIDTH columns at most."""
    terminal = console()
    if not terminal.is_terminal:  # Rich takes 80 columns there, and a table's own width never goes beyond its console's
        terminal.width = WIDTH
    terminal.print(table)


def show(*parts: RenderableType) -> None:
    """Print `parts` for people on standard output; long lines wrap on a terminal only."""
    terminal = console()
    for part in parts:
        terminal.print(part, soft_wrap=not terminal.is_terminal)


def show_indented(text: str, by: int) -> None:
    """Print `text` for people, `by` columns in; where it is not a terminal, no line is wrapped or cut."""
    terminal = console()
    if terminal.is_terminal:
        terminal.print(Padding(Text(text), (0, 0, 0, by), expand=False))
    else:
        terminal.print(Text(textwrap.indent(text, " " * by)), soft_wrap=True)


def write_reply(reply: Reply) -> None:
    """Write `reply` as one line of JSON on standard output."""
    write_raw(reply.model_dump_json() + "\n")


def write_raw(text: str) -> None:
    """Write exactly `text`, as UTF-8 without translated line ends, on standard output."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise ReaderGoneError("") from None
