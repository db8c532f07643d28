"""Scoring windows that a model's own window can hold."""

from __future__ import annotations

from ragkit.errors import ModelError
from ragkit.inference import DEFAULT_WINDOWS, Windows


def fitting_windows(name: str, windows: Windows, room: int) -> Windows:
    """Return `windows`, or for the default ones and a model of fewer tokens its whole window and half of it as stride.

    Raises ModelError where other windows exceed the model's `room`.

    >>> fitting_windows("gpt2", DEFAULT_WINDOWS, 1024)
    Windows(size=1024, stride=512)
    """
    if windows.size <= room:
        return windows
    if windows == DEFAULT_WINDOWS:
        return Windows(room, max(1, room // 2))
    raise ModelError(
        f"Scoring windows of {windows.size} tokens were asked for; {name} reads {room}.",
        hint=f"Give a window of at most {room} tokens, or name a model with a longer one.",
    )
