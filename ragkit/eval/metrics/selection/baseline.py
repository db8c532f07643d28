"""Baselines of equal cost for selectors, whose choice has no fixed size (metrics.md 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.types import Retrieved


def first(run: Retrieved, size: int) -> Retrieved:
    """Return the first `size` hits of a run."""
    return Retrieved(run.documents[:size], run.spans[:size], run.tokens[:size], run.scores[:size], run.ranked)


def same_mean_count(selected: Sequence[Retrieved], ranked: Sequence[Retrieved]) -> list[Retrieved]:
    """Return the first k hits of each ranked run, k being the mean number of selected ones, rounded half up.

    METEORA's protocol; `same_tokens` is stricter.
    """
    _check(selected, ranked)
    if not selected:
        return []
    k = int(np.floor(np.mean([len(run.documents) for run in selected]) + 0.5))
    return [first(run, k) for run in ranked]


def same_tokens(selected: Sequence[Retrieved], ranked: Sequence[Retrieved]) -> list[Retrieved]:
    """Return of each ranked run the first hits that fit into the tokens that were selected for the same query."""
    _check(selected, ranked)
    return [
        first(run, int(np.searchsorted(np.cumsum(run.tokens), chosen.tokens.sum(), side="right")))
        for chosen, run in zip(selected, ranked, strict=True)
    ]


def _check(selected: Sequence[Retrieved], ranked: Sequence[Retrieved]) -> None:
    if len(selected) != len(ranked):
        raise UsageError(
            f"{len(selected)} selections and {len(ranked)} ranked runs were given.",
            hint="Give one of each for every query, in the same order.",
        )
    if not all(run.ranked for run in ranked):
        raise UsageError(
            "A baseline of equal cost needs hits in order of score.",
            hint="Give the retriever's runs, not a selector's.",
        )
