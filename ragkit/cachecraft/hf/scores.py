"""What a policy that asks the model gets: a score for each position, and what finding it cost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.plan import Plan, Reused
from ragkit.cachecraft.core.prompt import Kind


class Scores(NamedTuple):
    """`values` (P,) for `make_plan(..., scores=...)`, 0 outside of reused chunks; `tokens` were run to find them.

    `token_layers` is the work: tokens times layers, a layer of which only the projections were made counting as its
    share of weights. One full prefill is P times all layers.
    """

    values: NDArray[np.float64]
    tokens: int
    token_layers: float


def reused_positions(plan: Plan) -> NDArray[np.int64]:
    """Return the positions of all reused chunks, ascending; a reused prefix, which is exact, is left out."""
    spans = [np.arange(one.start, one.start + one.variant.tokens) for one in _chunks(plan)]
    return np.concatenate([np.zeros(0, np.int64), *spans])


def exact_positions(plan: Plan) -> NDArray[np.int64]:
    """Return the positions of a reused prefix, which nothing could improve."""
    prefix = [one for one in plan.reused if plan.layout.pieces[one.piece].kind is Kind.PREFIX]
    return np.concatenate([np.zeros(0, np.int64), *(np.arange(p.start, p.start + p.variant.tokens) for p in prefix)])


def _chunks(plan: Plan) -> list[Reused]:
    return [one for one in plan.reused if plan.layout.pieces[one.piece].kind is Kind.CHUNK]
