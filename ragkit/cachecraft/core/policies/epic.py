"""The policy `epic`: the first tokens of every chunk but one that stood first (EPIC / LegoLink, arXiv 2410.15332)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.policies.task import RepairTask
from ragkit.cachecraft.core.runs import Tokens, whole_runs
from ragkit.cachecraft.core.sharing import share_out


def heads(task: RepairTask) -> Tokens:
    """Return equally many first tokens of each chunk: alone, they took themselves for the attention sink.

    The prompt's first chunk is spared where its variant was made behind no other chunk, as it took its heads for the
    sink rightly, and only as long as the others can take the budget: a share of 1 means all tokens.
    """
    counts = _counts(task)
    within = np.arange(task.tokens) - np.repeat(task.offsets, task.lengths)
    singles = np.flatnonzero(within < np.repeat(counts, task.lengths))
    return whole_runs(
        singles, -within.astype(np.float64), task.lengths, counts, task.repair.run_length, by_chunk=True, carry=True
    )


def _counts(task: RepairTask) -> NDArray[np.int64]:
    """Return how many tokens of each chunk are repaired; their sum is the budget."""
    first = task.layout.chunks[0] if task.layout.chunks else -1
    spared = np.array([one.piece == first and not one.variant.history for one in task.chunks])
    counts = share_out(task.budget, np.where(spared, 0.0, 1.0), task.lengths)
    left = task.budget - int(counts.sum())
    return counts if left <= 0 else counts + share_out(left, np.where(spared, 1.0, 0.0), task.lengths)
