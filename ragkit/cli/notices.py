"""Warnings of ragkit's own code, shown once each and without a source line; those of libraries stay silent."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.text import Text

from ragkit.cli.output import console
from ragkit.cli.text import visible

_PACKAGE = str(Path(__file__).parents[1])


@contextmanager
def notices(*, silent: bool) -> Iterator[None]:
    """Show each warning of ragkit's once on standard error, or none where `silent`.

    `python -W` and PYTHONWARNINGS hand control back to Python.
    """
    if sys.warnoptions:
        yield
        return
    seen: set[str] = set()

    def notice(message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object) -> None:
        text = str(message)
        if silent or text in seen or not _is_ours(category, filename):
            return
        seen.add(text)

        console(stderr=True).print(Text.assemble(("note: ", "bold yellow"), visible(text)), soft_wrap=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = notice
        yield


def _is_ours(category: type[Warning], filename: str) -> bool:
    """Return whether a warning comes from ragkit: deprecations of libraries are not for the user of a command."""
    return category.__module__.startswith("ragkit") or filename.startswith(_PACKAGE)
