"""From gold and predicted boundaries to one value per document and measure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.metrics.evaluate import Scores, checked
from ragkit.eval.metrics.measure import Measure


def evaluate_segments(
    measures: Sequence[Measure | str],
    gold: Sequence[Iterable[int]],
    predicted: Sequence[Iterable[int]],
    sizes: Sequence[int],
) -> Scores:
    """Return the value of every measure for every document of at least two units; `sizes` counts the units.

    Raises UsageError for unknown measures, different numbers, and a position outside 1..n-1, naming the document's
    place.
    """
    wanted = checked(measures, "segmentation")
    if not len(gold) == len(predicted) == len(sizes):
        raise UsageError(
            f"{len(gold)} gold segmentations, {len(predicted)} predicted ones and {len(sizes)} sizes were given.",
            hint="Give one of each for every document.",
        )
    counted = [place for place, size in enumerate(sizes) if size >= 2]
    pairs = [
        (_positions(gold[place], sizes[place], place), _positions(predicted[place], sizes[place], place), sizes[place])
        for place in counted
    ]
    values = {
        str(measure): np.array(
            [measure.declaration.score(*pair, **dict(measure.settings)) for pair in pairs], np.float64
        )
        for measure in wanted
    }
    return Scores(values, np.array(counted, np.int64))


def _positions(boundaries: Iterable[int], size: int, place: int) -> frozenset[int]:
    found = frozenset(int(position) for position in boundaries)
    wrong = sorted(position for position in found if not 0 < position < size)
    if wrong:
        raise UsageError(
            f"Document {place} has the boundary {wrong[0]}; positions from 1 to {size - 1} were expected.",
            hint="A boundary lies between two units: position b is before unit b, counted from 0.",
        )
    return found
