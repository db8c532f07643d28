"""The policy `full`: nothing is reused, the upper end of quality and of cost."""

from __future__ import annotations

import numpy as np

from ragkit.cachecraft.core.policies.task import RepairTask
from ragkit.cachecraft.core.runs import Tokens


def everything(task: RepairTask) -> Tokens:
    """Return all tokens; a plan of this policy does not even reuse the prefix."""
    return np.arange(task.tokens)
