"""Weights of chunks in a selector's own scores: how trust reaches a selector that judges hits again.

The hits that a weighted selector is given have weighed scores and ranks already (`ragkit.selectors.trust`), so only
scores of its own are to be weighed. A selector takes part by a method `weighted(weights)`, which returns it set so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from ragkit.protocols import Selector
from ragkit.schema import Hit
from ragkit.scoring.order import Scores

Weights = Mapping[str, float]
"""A weight from 0 to 1 by chunk id."""


def with_weights(selector: Selector, weights: Weights) -> Selector:
    """Return `selector` with its own scores weighed; the selector itself where it has none of its own."""
    weighted: Any = getattr(selector, "weighted", None)
    return selector if weighted is None else cast(Selector, weighted(weights))


def weights_of(weights: Weights, hits: Sequence[Hit]) -> Scores:
    """Return the weight of each hit, shape (hits,); 0 for one that has none: it fails closed."""
    return np.array([weights.get(hit.part_of or hit.chunk_id, 0.0) for hit in hits], np.float64)


def weighed(scores: Scores, weights: Scores) -> Scores:
    """Return the scores times their weights; where some are negative, the distance from the lowest is multiplied.

    So a weight below 1 never raises a score, and one of 1 leaves it as it is, in its unit.

    >>> weighed(np.array([0.8, 0.6]), np.array([0.5, 1.0])).tolist()
    [0.4, 0.6]
    >>> weighed(np.array([2.0, -1.0, -2.0]), np.array([0.5, 0.5, 1.0])).tolist()
    [0.0, -1.5, -2.0]
    """
    low = float(scores.min(initial=0.0))
    return np.where(weights == 1, scores, low + (scores - low) * weights)
