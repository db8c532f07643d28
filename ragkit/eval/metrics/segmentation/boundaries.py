"""From segments to boundary positions, and the exact comparison of them."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.eval.metrics.measure import declare
from ragkit.eval.metrics.segmentation.units import placed


def boundary_positions(segments: Sequence[tuple[int, int]], units: Sequence[tuple[int, int]]) -> list[int]:
    """Return the boundaries between segments as positions between units (both spans in code points, in order).

    Boundaries are the starts of all segments but the first, placed as `ragkit.eval.metrics.segmentation.units.placed`
    does, which also counts what had to be moved. Raises UsageError without units.

    >>> boundary_positions([(0, 20), (20, 40)], units=[(0, 9), (10, 19), (20, 40)])
    [2]
    """
    return list(placed([start for start, _ in segments[1:]], units).positions)


def _precision(gold: frozenset[int], predicted: frozenset[int], n: int) -> float:  # noqa: ARG001 - one signature
    if not gold and not predicted:
        return 1.0
    return len(gold & predicted) / len(predicted) if predicted else 0.0


def _recall(gold: frozenset[int], predicted: frozenset[int], n: int) -> float:
    return _precision(predicted, gold, n)


def _f1(gold: frozenset[int], predicted: frozenset[int], n: int) -> float:  # noqa: ARG001 - one signature
    return 2 * len(gold & predicted) / (len(gold) + len(predicted)) if gold or predicted else 1.0


BoundaryP = declare("BoundaryP", "segmentation", _precision, "share of the predicted boundaries that are gold")

BoundaryR = declare("BoundaryR", "segmentation", _recall, "share of the gold boundaries that are predicted")

BoundaryF1 = declare("BoundaryF1", "segmentation", _f1, "harmonic mean of BoundaryP and BoundaryR")
