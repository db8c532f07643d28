"""The policy `cachecraft`: by CFO among the chunks, by attention on the old context within one (eq. 12, 14)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.choice import Chosen
from ragkit.cachecraft.core.policies.task import RepairTask
from ragkit.cachecraft.core.runs import Tokens, ascending, whole_runs
from ragkit.cachecraft.core.sharing import share_out


def by_context(task: RepairTask) -> Tokens:
    """Return the tokens that attended most to the chunks that stood before them when their variants were made.

    With a share, alpha is what meets it; with an alpha, eq. 14 holds for each chunk by itself. Of a variant without
    statistics the first tokens are taken.
    """
    shared = task.repair.alpha is None
    counts = counts_by_cfo(task) if shared else task.counts
    singles = np.concatenate([_order(one)[:count] for one, count in zip(task.chunks, counts.tolist(), strict=True)])
    chosen = singles + np.repeat(task.offsets, counts)
    if task.repair.run_length == 1:
        return ascending(chosen, task.tokens)
    return whole_runs(chosen, _masses(task), task.lengths, counts, task.repair.run_length, by_chunk=True, carry=shared)


def counts_by_cfo(task: RepairTask) -> NDArray[np.int64]:
    """Return how many tokens of each chunk are repaired so that their sum is the share.

    Chunks of CFO 0 get nothing as long as others can take it, and nothing at all where every CFO is 0; a share of 1
    means all tokens whatever the CFO, so that the repair path can be held against a full computation.
    """
    ratios = np.array([one.cfo for one in task.chunks], np.float64)
    if task.budget >= task.tokens:
        return task.lengths
    counts = share_out(task.budget, ratios * task.lengths, task.lengths)
    left = task.budget - int(counts.sum())
    if left > 0 and ratios.any():
        counts = counts + share_out(left, np.where(ratios > 0, 0.0, task.lengths), task.lengths)
    return counts


def _order(one: Chosen) -> NDArray[np.int32]:
    statistics = one.variant.statistics
    return np.arange(one.variant.tokens, dtype=np.int32) if statistics is None else statistics.order


def _masses(task: RepairTask) -> NDArray[np.float64]:
    masses = [
        np.zeros(one.variant.tokens, np.float32)
        if one.variant.statistics is None
        else one.variant.statistics.token_mass
        for one in task.chunks
    ]
    return np.concatenate(masses).astype(np.float64)
