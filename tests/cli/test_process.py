"""The command as a process: it starts quickly, and a reader that goes away is no accident."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "sentence_transformers", "faiss", "tantivy", "chromadb", "openai", "numpy")


def modules_after(*arguments: str) -> set[str]:
    """Return the names of all modules that `ragkit arguments...` imported."""
    code = (
        "import sys; from ragkit.cli.app import run; status = run(sys.argv[1:]); "
        "sys.stderr.write(' '.join(sys.modules)); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["index", "--help"], ["models", "--help"]], ids=" ".join
)
def test_help_imports_nothing_heavy(arguments):
    assert not modules_after(*arguments) & set(HEAVY)


def test_wrong_use_imports_no_library_that_computes():
    code = "import sys; from ragkit.cli.app import run; run(['query']); sys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "transformers", "faiss", "numpy"}


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    done = subprocess.run(
        [sys.executable, "-m", "ragkit.cli.app", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ragkit {version('ragkit')}\n"


@pytest.mark.parametrize("flag", [[], ["--json"]], ids=["people", "json"])
def test_a_reader_that_goes_away_ends_the_command_quietly(flag):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "ragkit.cli.app", "models", *flag],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_output_is_utf8_whatever_the_locale(tmp_path: Path):
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "ragkit.cli.app", "query", "什么?", "--index", str(tmp_path / "没有"), "--json"],
        capture_output=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 2
    assert "没有" in done.stderr.decode("utf-8")
