"""Which tokens each forward pass reads and scores: sliding windows without cache surgery (Meta-Chunking, C4)."""

from __future__ import annotations

from dataclasses import dataclass

from ragkit.inference import Windows


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: the model reads tokens [start, stop) and the losses of [first, stop) are kept."""

    start: int
    first: int
    stop: int


def passes(tokens: int, windows: Windows, given: int = 0) -> list[Pass]:
    """Return the passes over a sequence of `tokens` tokens, of which the first `given` are context and not scored.

    1 + ceil((tokens - size) / stride) passes; those that would score context alone are left out.

    >>> [(one.start, one.first, one.stop) for one in passes(20, Windows(8, 4))]
    [(0, 0, 8), (4, 8, 12), (8, 12, 16), (12, 16, 20)]
    """
    found = [Pass(0, given, min(tokens, windows.size))] if given < min(tokens, windows.size) else []
    for new in range(windows.size, tokens, windows.stride):
        stop = min(new + windows.stride, tokens)
        if stop > given:
            found.append(Pass(new + windows.stride - windows.size, max(new, given), stop))
    return found
