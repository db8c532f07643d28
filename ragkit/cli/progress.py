"""Progress bars on standard error for whatever takes longer than a second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from ragkit.protocols import Progress

PATIENCE = 1.0
"""Seconds of work before anything is drawn; quick commands stay quiet."""


@contextmanager
def progress(title: str, *, silent: bool) -> Iterator[Progress | None]:
    """Yield a callback that draws a bar for each stage, or None where nobody would see it.

    Nothing is drawn under `silent` or where standard error is not a terminal. A spinner with `title` stands in until
    the first stage reports.
    """
    if silent or not sys.stderr.isatty():
        yield None
        return
    board = _Board(title)
    try:
        yield board.report
    finally:
        board.close()


class _Board:
    """Bars by stage, drawn once PATIENCE seconds have passed."""

    def __init__(self, title: str) -> None:
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        from ragkit.cli.output import console

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        self._bars: Bars = Progress(*columns, console=console(stderr=True), transient=True)
        self._title: TaskID | None = self._bars.add_task(title, total=None)
        self._stages: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._timer = threading.Timer(PATIENCE, self._draw)
        self._timer.daemon = True
        self._timer.start()

    def _draw(self) -> None:
        with self._lock:
            if not self._closed:
                self._bars.start()

    def report(self, stage: str, done: int, total: int | None) -> None:
        """Record that `done` of `total` units of `stage` are done."""
        if stage not in self._stages:
            if self._title is not None:
                self._bars.remove_task(self._title)
                self._title = None
            self._stages[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._stages[stage], completed=done, total=total)

    def close(self) -> None:
        """Take the bars away."""
        self._timer.cancel()
        with self._lock:
            self._closed = True
            self._bars.stop()
