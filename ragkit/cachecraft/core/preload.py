"""How many layers have to be loaded before a forward starts, so that it never waits (Cache-Craft, preloading)."""

from __future__ import annotations

import math
from typing import NamedTuple

from ragkit.errors import UsageError


def preload_depth(layers: int, compute: float, load: float) -> int:
    """Return the least number of layers that must be resident before the first is computed.

    `compute` and `load` are the times of one layer, in the same unit; layers are loaded in order, back to back.

    >>> preload_depth(32, 1, 2), preload_depth(80, 7, 4)
    (17, 1)
    """
    _check(layers, compute, load)
    if load <= compute:
        return 1
    return min(math.ceil((layers - 1) * (1 - compute / load) + 1 - 1e-9), layers)


class Timeline(NamedTuple):
    """When the last layer is computed, and how long computation waited for loads after it had started."""

    finish: float
    stall: float


def timeline(layers: int, compute: float, load: float, depth: int) -> Timeline:
    """Return what happens if computation starts once `depth` layers are resident."""
    _check(layers, compute, load)
    if not 1 <= depth <= layers:
        raise UsageError(f"A depth of {depth} was given; expected 1 to {layers}, the number of layers.")
    clock, stall = depth * load, 0.0
    for layer in range(1, layers + 1):
        wait = max(layer * load - clock, 0.0)
        stall += wait
        clock += wait + compute
    return Timeline(clock, stall)


class Pace:
    """What loading and computing have taken lately: the depth for a prompt follows from these, and from no constant.

    Times are averages in which the last one counts half. Passes of about as many tokens (within a factor of two) are
    one kind, since few tokens take longer each.
    """

    def __init__(self) -> None:
        self._byte: float | None = None
        self._tokens: dict[int, float] = {}
        """Seconds of one token in one layer, by the bits of the number of tokens."""

    def loaded(self, size: int, seconds: float) -> None:
        """Note that `size` bytes came in `seconds`."""
        if size > 0 and seconds > 0:
            self._byte = _average(self._byte, seconds / size)

    def computed(self, tokens: int, layers: int, seconds: float) -> None:
        """Note what a pass of `tokens` through `layers` took, without waiting."""
        if tokens > 0 and seconds > 0:
            kind = tokens.bit_length()
            self._tokens[kind] = _average(self._tokens.get(kind), seconds / tokens / layers)

    def depth(self, layers: int, tokens: int, size: int) -> int:
        """Return the preload depth of a pass of `tokens` that loads `size` bytes in all layers together.

        1 while nothing is known: to begin early costs no time, it only waits later.
        """
        if self._byte is None or not self._tokens or tokens < 1:
            return 1
        kind = min(self._tokens, key=lambda one: abs(one - tokens.bit_length()))
        return preload_depth(layers, self._tokens[kind] * tokens, self._byte * size / layers)


def _average(before: float | None, now: float) -> float:
    return now if before is None else (before + now) / 2


def _check(layers: int, compute: float, load: float) -> None:
    if layers < 1 or not compute > 0 or load < 0:
        raise UsageError(
            f"{layers} layers of {compute} to compute and {load} to load were given; "
            "expected 1 layer or more, a time above 0 and one of 0 or more."
        )
