"""Every way to fail: its exit status, its message for people, and its one JSON object."""

from __future__ import annotations

import pytest

from ragkit import errors
from ragkit.cli.app import run, wants_json
from ragkit.cli.failure import InterruptedRunError, describe
from ragkit.errors import RagkitError


def all_errors(root: type[RagkitError]) -> list[type[RagkitError]]:
    return [root, *(error for child in root.__subclasses__() for error in all_errors(child))]


TREE = [error for error in all_errors(RagkitError) if error.__module__ == errors.__name__]


@pytest.mark.parametrize("error", TREE)
def test_each_error_of_the_tree_is_reported_with_its_own_status(ragkit, script, error):
    script.answers["retrieve"] = error("Found this.", hint="Do that.")
    outcome = ragkit("query", "what?", "--index", "x", "--json")
    assert outcome.error == {"error": error.__name__, "message": "Found this.", "hint": "Do that."}
    assert outcome.status == error.exit_status
    for_people = ragkit("query", "what?", "--index", "x")
    assert (for_people.status, for_people.out) == (error.exit_status, "")
    assert for_people.err == "error: Found this.\nhint: Do that.\n"


def test_usage_errors_are_exactly_the_errors_with_status_two():
    twos = {error.__name__ for error in TREE if error.exit_status == 2}
    usage = {error.__name__ for error in all_errors(errors.UsageError)}
    assert twos == usage | {"MissingIndexError", "IndexMismatchError"}


WRONG_USE = [
    ["query", "what?"],
    ["query", "--index", "x"],
    ["query", "what?", "--index", "x", "-k", "0"],
    ["query", "what?", "--index", "x", "-k", "many"],
    ["query", "what?", "--index", "x", "--retreiver", "dense"],
    ["query", "what?", "twice", "--index", "x"],
    ["query", "  ", "--index", "x"],
    ["query", "caf\udce9?", "--index", "x"],
    ["ask", "what?", "--index", "x", "--llm", " "],
    ["index", "--index", "x"],
    ["index", "no-such-folder", "--index", "x"],
    ["chunk", "no-such-file"],
    ["models", "fetch", "all-minilm"],
    ["indx"],
    ["--verbose"],
]


@pytest.mark.parametrize("arguments", WRONG_USE, ids=" ".join)
def test_wrong_use_is_status_two_and_one_json_object(ragkit, script, arguments):
    outcome = ragkit(*arguments, "--json")
    assert outcome.status == 2
    assert set(outcome.error) == {"error", "message", "hint"}
    assert outcome.error["message"]
    assert outcome.error["hint"]
    for_people = ragkit(*arguments)
    assert for_people.status == 2
    assert for_people.err.startswith("error: ")
    assert "Traceback" not in for_people.err


def test_wrong_use_names_the_nearest_option_and_command(ragkit):
    assert "--retriever" in ragkit("query", "q", "--index", "x", "--retreiver", "dense", "--json").error["message"]
    assert "'index'" in ragkit("indx", "--json").error["message"]
    assert ragkit("query", "q", "--json").error["hint"] == "See: ragkit query --help"


def test_a_bare_call_prints_help_and_is_wrong_use(ragkit):
    outcome = ragkit()
    assert outcome.status == 2
    assert "Usage: ragkit" in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("error", "name", "status"),
    [
        (ZeroDivisionError("division by zero"), "InternalError", 1),
        (PermissionError(13, "Permission denied", "x/ledger"), "PermissionError", 1),
        (OSError(28, "No space left on device"), "OSError", 1),
        (MemoryError(), "MemoryError", 1),
        (KeyboardInterrupt(), "Interrupted", 130),
        (InterruptedRunError("Stopped."), "Interrupted", 130),
    ],
)
def test_unforeseen_errors_are_reported_without_a_traceback(ragkit, script, error, name, status):
    script.answers["retrieve"] = error
    outcome = ragkit("query", "what?", "--index", "x", "--json")
    assert (outcome.error["error"], outcome.status) == (name, status)
    assert "Traceback" not in ragkit("query", "what?", "--index", "x").err


def test_the_traceback_of_a_bug_can_be_had(script, monkeypatch):
    monkeypatch.setenv("RAGKIT_TRACEBACK", "1")
    script.answers["retrieve"] = ZeroDivisionError("division by zero")
    with pytest.raises(ZeroDivisionError):
        run(["query", "what?", "--index", "x"])


def test_messages_about_undecodable_names_can_be_encoded(ragkit, script):
    script.answers["retrieve"] = errors.LoadError("caf\udce9.txt: cannot be read.")
    assert ragkit("query", "what?", "--index", "x", "--json").error["message"] == "caf\\udce9.txt: cannot be read."
    assert "caf\\udce9.txt" in ragkit("query", "what?", "--index", "x").err


def test_an_error_cannot_drive_the_terminal(ragkit, script):
    script.answers["retrieve"] = errors.LoadError("\x1b]0;owned\x07.txt")
    assert "\x1b" not in ragkit("query", "what?", "--index", "x").err


def test_json_is_an_option_only_before_a_double_dash():
    assert wants_json(["query", "--json", "--", "x"])
    assert not wants_json(["query", "--index", "x", "--", "--json"])


def test_an_os_error_names_its_file():
    assert describe(FileNotFoundError(2, "No such file or directory", "a.txt")).message.startswith(
        "a.txt: No such file"
    )
