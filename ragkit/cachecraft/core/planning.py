"""From the chosen variants to the plan of one prompt: what is loaded, what is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.choice import Chosen
from ragkit.cachecraft.core.plan import Load, Plan, Reused
from ragkit.cachecraft.core.policies import POLICIES, RepairTask
from ragkit.cachecraft.core.prompt import Kind, Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.errors import ContractError, UsageError


def make_plan(
    layout: Layout,
    chosen: Mapping[int, Chosen],
    reasons: Mapping[int, str],
    policy: str,
    repair: Repair,
    *,
    scores: NDArray[np.float64] | None = None,
) -> Plan:
    """Return the plan that reuses the `chosen` variants and repairs the tokens that `policy` picks.

    `scores`, shape (P,), are for policies in NEED_SCORES. A reused prefix is never repaired. Raises UsageError for
    another policy, ContractError for a variant that does not fit its piece.
    """
    if policy not in POLICIES:
        raise UsageError(f"The repair policy {policy!r} was given; expected one of {', '.join(POLICIES)}.")
    if policy == "full":
        return full_plan(layout, "the policy reuses nothing")
    ordered = [chosen[at] for at in sorted(chosen)]
    for one in ordered:
        if (one.start, one.start + one.variant.tokens) != layout.spans[one.piece]:
            raise ContractError(
                f"A variant of {one.variant.tokens} tokens from position {one.start} on was chosen for piece "
                f"{one.piece}; expected one for the positions {layout.spans[one.piece]}."
            )
    chunks = [one for one in ordered if layout.pieces[one.piece].kind is Kind.CHUNK]
    repaired = _repaired(RepairTask(layout, chunks, repair, scores), policy)
    nowhere = np.zeros(0, np.int64)
    reused = [Reused(one.piece, one.start, one.variant, one.cfo, repaired.get(one.piece, nowhere)) for one in ordered]
    return planned(layout, reused, reasons)


def planned(layout: Layout, reused: Sequence[Reused], reasons: Mapping[int, str]) -> Plan:
    """Return the plan with these pieces reused: all other positions are fresh."""
    fresh = np.ones(len(layout.ids), bool)
    for one in reused:
        fresh[one.start : one.start + one.variant.tokens] = False
        fresh[one.repaired] = True
    return Plan(layout, tuple(reused), np.flatnonzero(fresh), tuple(sorted(reasons.items())))


def full_plan(layout: Layout, reason: str = "nothing is cached") -> Plan:
    """Return the plan that computes everything; `reason` says why for the prefix and each chunk."""
    pieces = ([0] if len(layout.prefix) else []) + list(layout.chunks)
    return planned(layout, (), dict.fromkeys(pieces, reason))


def loads(plan: Plan) -> list[Load]:
    """Return what is reused and not repaired as maximal runs, in the order of positions, none across two pieces."""
    if not plan.reused:
        return []
    loaded = np.ones(len(plan.layout.ids) + 1, bool)
    loaded[plan.fresh] = False
    loaded[-1] = False
    begins = loaded.copy()
    begins[1:] &= ~loaded[:-1]
    borders = np.array([one.start for one in plan.reused])
    begins[borders] = loaded[borders]
    starts = np.flatnonzero(begins)
    stops = np.append(starts[1:], len(loaded) - 1)
    ends = np.minimum(np.flatnonzero(~loaded)[np.searchsorted(np.flatnonzero(~loaded), starts)], stops)
    owners = np.searchsorted(borders, starts, side="right") - 1
    return [
        Load(plan.reused[owner].variant, start - plan.reused[owner].start, start, end - start)
        for owner, start, end in zip(owners.tolist(), starts.tolist(), ends.tolist(), strict=True)
    ]


def _repaired(task: RepairTask, policy: str) -> dict[int, NDArray[np.int64]]:
    """Return the positions that are repaired, by piece."""
    if not task.chunks:
        return {}
    tokens = POLICIES[policy](task)
    offsets = task.offsets.tolist()
    cuts = [*np.searchsorted(tokens, task.offsets).tolist(), len(tokens)]
    return {
        one.piece: tokens[cuts[at] : cuts[at + 1]] + (one.start - offsets[at]) for at, one in enumerate(task.chunks)
    }
