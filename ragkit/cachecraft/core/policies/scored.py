"""The policies `hkvd` (CacheBlend, arXiv 2405.16444) and `query_probe` (ProphetKV, 2602.02579): scores of the model."""

from __future__ import annotations

import numpy as np

from ragkit.cachecraft.core.policies.task import RepairTask
from ragkit.cachecraft.core.runs import Tokens, best_tokens, whole_runs
from ragkit.errors import ContractError, UsageError


def highest(task: RepairTask) -> Tokens:
    """Return the tokens of the highest scores.

    Raises UsageError without scores, ContractError for scores of another shape or that are no numbers.
    """
    if task.scores is None:
        raise UsageError(
            "No scores were given; expected one for each position of the prompt.",
            hint="The policies hkvd and query_probe need scores of the backend before the plan is made.",
        )
    if task.scores.shape != task.layout.ids.shape:
        raise ContractError(
            f"Scores of the shape {task.scores.shape} were given; expected {task.layout.ids.shape}, one per position."
        )
    scores = np.asarray(task.scores, np.float64)[task.positions]
    if not np.isfinite(scores).all():
        raise ContractError("The scores of reused chunks hold NaN or infinite values; expected numbers.")
    return whole_runs(
        best_tokens(scores, task.budget),
        scores,
        task.lengths,
        np.array([task.budget]),
        task.repair.run_length,
        by_chunk=False,
        carry=False,
    )
