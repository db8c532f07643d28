"""From segments to boundary positions, and the exact comparison of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.metrics.measure import declare


def boundary_positions(segments: Sequence[tuple[int, int]], units: Sequence[tuple[int, int]]) -> list[int]:
    """Return the boundaries between segments as positions between units (both spans in code points, in order).

    A boundary belongs before the unit whose start is nearest to the segment's, the earlier one where two are as near.
    Raises UsageError without units.

    >>> boundary_positions([(0, 20), (20, 40)], units=[(0, 9), (10, 19), (20, 40)])
    [2]
    """
    if not units:
        raise UsageError("There are no units to place boundaries between.", hint="Give the sentences of the text.")
    starts = np.array([start for start, _ in units], np.int64)
    found = set()
    for start, _ in segments[1:]:
        after = min(int(np.searchsorted(starts, start)), len(starts) - 1)
        before = max(after - 1, 0)
        found.add(before if start - starts[before] <= abs(starts[after] - start) else after)
    return sorted(found - {0})


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
