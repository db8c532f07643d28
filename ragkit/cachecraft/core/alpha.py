"""The one knob of Cache-Craft, set on questions with known answers: least repair at enough quality (eq. 13)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ragkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class AlphaSearch:
    """The least alpha that was tried and met the target, its quality, and all trials; `met` is False if none did."""

    alpha: float
    quality: float
    met: bool
    trials: tuple[tuple[float, float], ...]


def search_alpha(
    quality: Callable[[float], float],
    target: float,
    *,
    low: float = 0.0,
    high: float = 2.0,
    tolerance: float = 0.05,
) -> AlphaSearch:
    """Return the least alpha in `[low, high]` whose quality is `target` or more, to within `tolerance`.

    `quality` runs the validation questions at an alpha, 50 to 100 of them; bisection takes it as rising with alpha.
    Never tune alpha on questions that are reported. At 2 every chunk behind a new context is computed whole, as no CCI
    is below 0.5. Raises UsageError for an empty range, and for a quality that is not a number.
    """
    if not 0 <= low < high or not tolerance > 0:
        raise UsageError(
            f"low={low}, high={high}, tolerance={tolerance} was given; expected 0 <= low < high, and above 0."
        )
    trials: list[tuple[float, float]] = []

    def meets(alpha: float) -> bool:
        value = quality(alpha)
        if math.isnan(value):
            raise UsageError(f"The quality at an alpha of {alpha} is NaN; expected a number.")
        trials.append((alpha, value))
        return value >= target

    if meets(low):
        return AlphaSearch(low, trials[-1][1], True, tuple(trials))
    if not meets(high):
        return AlphaSearch(high, trials[-1][1], False, tuple(trials))
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return AlphaSearch(high, dict(trials)[high], True, tuple(trials))
