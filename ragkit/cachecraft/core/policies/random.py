"""The policy `random`: the baseline that any choice of tokens has to beat."""

from __future__ import annotations

import zlib

import numpy as np

from ragkit.cachecraft.core.policies.task import RepairTask
from ragkit.cachecraft.core.runs import Tokens, best_tokens, whole_runs


def drawn(task: RepairTask) -> Tokens:
    """Return tokens of all chunks, drawn evenly; the draw depends on the seed and on the prompt's ids, nothing else."""
    source = np.random.default_rng([task.repair.seed, zlib.crc32(task.layout.ids.astype("<i4").tobytes())])
    scores = source.random(task.tokens)
    return whole_runs(
        best_tokens(scores, task.budget),
        scores,
        task.lengths,
        np.array([task.budget]),
        task.repair.run_length,
        by_chunk=False,
        carry=False,
    )
