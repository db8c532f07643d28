"""Fewer, longer runs: tokens between two runs that lie close are computed too (vllm_backend 5.2, point 4)."""

from __future__ import annotations

import numpy as np

from ragkit.cachecraft.core.plan import Plan, Reused, rows
from ragkit.cachecraft.core.planning import planned
from ragkit.errors import UsageError


def merge_runs(plan: Plan, gap: int, max_rows: int | None = None) -> Plan:
    """Return the plan with runs joined that at most `gap` tokens part; what lies between becomes a repair.

    While there are more runs than `max_rows`, the gap is doubled. Raises UsageError for a gap below 0 or no rows.
    """
    if gap < 0 or (max_rows is not None and max_rows < 1):
        raise UsageError(f"gap={gap}, max_rows={max_rows} was given; expected a gap of 0 or more and 1 or more rows.")
    merged = _merged(plan, gap)
    while max_rows is not None and len(rows(merged.fresh)) > max_rows:
        gap = max(1, 2 * gap)
        merged = _merged(plan, gap)
    return merged


def _merged(plan: Plan, gap: int) -> Plan:
    if not gap or len(plan.fresh) < 2:
        return plan
    steps = np.diff(plan.fresh)
    near = np.flatnonzero((steps > 1) & (steps <= gap + 1))
    if not len(near):
        return plan
    fresh = np.zeros(len(plan.layout.ids), bool)
    fresh[plan.fresh] = True
    for at in near.tolist():
        fresh[plan.fresh[at] : plan.fresh[at + 1]] = True
    reused = [
        Reused(
            one.piece,
            one.start,
            one.variant,
            one.cfo,
            np.flatnonzero(fresh[one.start : one.start + one.variant.tokens]) + one.start,
        )
        for one in plan.reused
    ]
    return planned(plan.layout, reused, dict(plan.reasons))
