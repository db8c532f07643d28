"""The files of a result: everything for a replay, a table for reading, a report for looking at."""

from __future__ import annotations

import warnings
from pathlib import Path

from ragkit.errors import MissingExtraError, RagkitWarning, StorageError
from ragkit.eval.experiment.replay import NAME, save
from ragkit.eval.experiment.table import markdown
from ragkit.eval.results import ExperimentResult

REPORT = "report.html"


def deliver(result: ExperimentResult, folder: Path) -> list[Path]:
    """Write results.json.gz, results.md and report.html to `folder` and return their paths.

    The report needs the extra `eval`; it is left out, with a warning, where that is not installed.
    Raises StorageError where the folder cannot be written.
    """
    files = [folder / NAME]
    save(result, files[0])
    texts = {"results.md": markdown(result)}
    report = _report(result)
    if report is not None:
        texts[REPORT] = report
    for name, text in texts.items():
        files.append(folder / name)
        try:
            files[-1].write_text(text, encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{files[-1]}: {error.strerror}.", hint="Choose another folder with --out.") from error
    return files


def _report(result: ExperimentResult) -> str | None:
    """Return the HTML report; None, with a warning, where the libraries that draw it are not installed."""
    try:
        from ragkit.eval.report import render

        return render(result)
    except (ImportError, MissingExtraError) as error:
        warnings.warn(f"There is no HTML report: {error}", RagkitWarning, stacklevel=3)
        return None
