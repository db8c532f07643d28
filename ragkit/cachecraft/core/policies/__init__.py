"""Repair policies by name: which tokens of reused chunks are computed again. All over one store and one executor."""

from __future__ import annotations

from ragkit.cachecraft.core.policies.cachecraft import by_context
from ragkit.cachecraft.core.policies.epic import heads
from ragkit.cachecraft.core.policies.everything import everything
from ragkit.cachecraft.core.policies.nothing import nothing
from ragkit.cachecraft.core.policies.random import drawn
from ragkit.cachecraft.core.policies.scored import highest
from ragkit.cachecraft.core.policies.task import Policy, RepairTask

__all__ = ["NEED_SCORES", "POLICIES", "Policy", "RepairTask"]

POLICIES: dict[str, Policy] = {
    "cachecraft": by_context,
    "epic": heads,
    "hkvd": highest,
    "query_probe": highest,
    "random": drawn,
    "none": nothing,
    "full": everything,
}

NEED_SCORES = frozenset({"hkvd", "query_probe"})
"""Policies whose token scores come from the model, before the plan is made."""
