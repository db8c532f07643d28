"""The policy `epic`: the first tokens of every chunk but the prompt's first (EPIC / LegoLink, arXiv 2410.15332)."""

from __future__ import annotations

import numpy as np

from ragkit.cachecraft.core.policies.task import RepairTask
from ragkit.cachecraft.core.runs import Tokens, whole_runs
from ragkit.cachecraft.core.sharing import share_out


def heads(task: RepairTask) -> Tokens:
    """Return equally many first tokens of each chunk: alone, they took themselves for the attention sink."""
    first = task.layout.chunks[0] if task.layout.chunks else -1
    weights = np.array([float(one.piece != first) for one in task.chunks])
    counts = share_out(task.budget, weights, task.lengths)
    within = np.arange(task.tokens) - np.repeat(task.offsets, task.lengths)
    singles = np.flatnonzero(within < np.repeat(counts, task.lengths))
    return whole_runs(
        singles, -within.astype(np.float64), task.lengths, counts, task.repair.run_length, by_chunk=True, carry=True
    )
