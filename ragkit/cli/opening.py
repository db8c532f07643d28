"""What the commands that open an existing index share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.cli.notices import notices
from ragkit.cli.progress import progress
from ragkit.cli.settings import Settings, for_asking
from ragkit.errors import UsageError

if TYPE_CHECKING:
    from ragkit.pipeline import Pipeline


@contextmanager
def opened(folder: Path, settings: Settings, title: str, *, silent: bool) -> Iterator[Pipeline]:
    """Yield the pipeline of an existing index, with notices and progress shown unless `silent`."""
    from ragkit.pipeline import Pipeline

    with (
        notices(silent=silent),
        progress(title, silent=silent) as report,
        Pipeline(folder, for_asking(folder, settings), progress=report) as pipeline,
    ):
        yield pipeline


@contextmanager
def inspected(folder: Path, title: str, *, silent: bool) -> Iterator[Pipeline]:
    """Yield the pipeline of an index that may be too damaged to tell its own configuration."""
    from ragkit.config import PipelineConfig
    from ragkit.pipeline import Pipeline

    with (
        notices(silent=silent),
        progress(title, silent=silent) as report,
        Pipeline(folder, PipelineConfig(), progress=report) as pipeline,
    ):
        yield pipeline


def check_question(question: str) -> None:
    """Raise UsageError where `question` is empty or not valid text."""
    if not question.strip():
        raise UsageError("The question is empty.", hint="Say what you want to know, in quotes.")
    try:
        question.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"Character {error.start} of the question is not valid Unicode text.", hint="Type it in UTF-8."
        ) from None
