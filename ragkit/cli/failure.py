"""How a command fails: one clear message on standard error, or one JSON object there under `--json`."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from rich.text import Text

from ragkit.cli.output import READER_GONE, ReaderGoneError, console
from ragkit.cli.text import encodable, visible
from ragkit.errors import RagkitError

INTERRUPTED = 130


class InterruptedRunError(RagkitError):
    """The user pressed Ctrl-C; the message says what state things were left in."""

    exit_status = INTERRUPTED


class Failure(NamedTuple):
    """What is said about an error, and the exit status."""

    error: str
    message: str
    hint: str
    status: int


def report(error: BaseException, as_json: bool) -> int:
    """Say on standard error what went wrong and return the exit status; nothing is said where nobody reads."""
    if isinstance(error, (BrokenPipeError, ReaderGoneError)):
        _silence_stdout()
        return READER_GONE
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, Exception) and os.environ.get("RAGKIT_TRACEBACK"):
        raise error
    failure = describe(error)
    if not failure.message:
        return failure.status  # A bare `ragkit` has printed its help.
    try:
        _write(failure, as_json)
    except BrokenPipeError:
        return failure.status
    return failure.status


def describe(error: BaseException) -> Failure:
    """Return what to say about `error`; unforeseen ones are named as a bug of ragkit."""
    name = type(error).__name__
    if isinstance(error, RagkitError):
        name = "Interrupted" if isinstance(error, InterruptedRunError) else name
        return Failure(name, error.message, error.hint, error.exit_status)
    if isinstance(error, KeyboardInterrupt) or name == "Abort":
        return Failure("Interrupted", "Interrupted.", "Nothing was changed.", INTERRUPTED)
    if hasattr(error, "format_message"):
        return _wrong_use(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Failure(name, f"{where}{error.strerror or error}.", "Check the path, its permissions and the disk.", 1)
    if isinstance(error, MemoryError):
        return Failure(name, "There is not enough memory for this.", "Index fewer files at a time.", 1)
    hint = "This is a bug in ragkit: run again with RAGKIT_TRACEBACK=1 and report what it prints."
    return Failure("InternalError", f"{name}: {error}", hint, 1)


def _wrong_use(error: BaseException) -> Failure:
    """Return what to say about an error that the command-line parser raised."""
    message: str = error.format_message().strip()  # type: ignore[attr-defined]  # the parser's class is private
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "ragkit"
    return Failure("UsageError", message, f"See: {command} --help", int(getattr(error, "exit_code", 2)))


def _write(failure: Failure, as_json: bool) -> None:

    if as_json:
        from ragkit.cli.contract import ErrorReply

        reply = ErrorReply(
            error=failure.error, message=encodable(failure.message), hint=encodable(failure.hint)
        ).model_dump_json()
        sys.stderr.write(reply + "\n")
    else:
        terminal = console(stderr=True)
        terminal.print(Text.assemble(("error: ", "bold red"), visible(failure.message)), soft_wrap=True)
        if failure.hint:
            terminal.print(Text.assemble(("hint: ", "bold cyan"), visible(failure.hint)), soft_wrap=True)
    sys.stderr.flush()


def _silence_stdout() -> None:
    """Point standard output nowhere, so that the interpreter's last flush does not fail on the broken pipe."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
