"""Asking a model about many documents at once, so that one it fails on does not take the others with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from ragkit.errors import ModelError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Failed(NamedTuple):
    """Why there is no result."""

    reason: str


def attempt(
    items: Sequence[Item], ask: Callable[[Sequence[Item]], Sequence[Result]], probe: Callable[[], object]
) -> list[Result | Failed]:
    """Return what `ask` gives for each item, or why it failed for that one.

    All are asked together. Where that raises ModelError, `probe` asks the model something harmless: if that fails as
    well the model is unusable (no server, a wrong name), and the first error is raised. Else each half is asked, down
    to the single items that fail; what was computed before comes from the model's cache. All other errors (wrong use,
    budgets, Ctrl-C) end the run at once.
    """
    if not items:
        return []
    try:
        return list(ask(items))
    except ModelError as error:
        try:
            probe()
        except ModelError:
            raise error from None
        if len(items) == 1:
            return [Failed(str(error))]
    middle = len(items) // 2
    return attempt(items[:middle], ask, probe) + attempt(items[middle:], ask, probe)
