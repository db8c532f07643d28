"""The policy `none`: reuse without repair, the lower end of quality."""

from __future__ import annotations

import numpy as np

from ragkit.cachecraft.core.policies.task import RepairTask
from ragkit.cachecraft.core.runs import Tokens


def nothing(task: RepairTask) -> Tokens:  # noqa: ARG001 - the signature of a policy
    """Return no token."""
    return np.zeros(0, np.int64)
