"""From the chosen variants to the plan of one prompt: what is loaded, what is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.choice import Chosen
from ragkit.cachecraft.core.plan import Loads, Plan, Reused
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

    What stands exactly as it was made is not repaired, and the share is one of the other tokens: a prompt that begins
    like one that was computed exactly costs no repair there, as with a prefix cache. A share of 1 means all tokens,
    exact ones too, so that the repair path can be held against a full computation. A reused prefix is never repaired.
    `scores`, shape (P,), are for policies in NEED_SCORES. Raises UsageError for another policy, ContractError for a
    variant that does not fit its piece.
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
    everything = repair.alpha is None and repair.share == 1
    chunks = [one for one in ordered if layout.pieces[one.piece].kind is Kind.CHUNK and (everything or not one.exact)]
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


def loads(plan: Plan) -> Loads:
    """Return what is reused and not repaired as maximal runs, in the order of positions, none across two pieces."""
    loaded = np.zeros(len(plan.layout.ids) + 1, bool)  # one more, so that a last run ends
    for one in plan.reused:
        loaded[one.start : one.start + one.variant.tokens] = True
    loaded[plan.fresh] = False
    borders = np.array([one.start for one in plan.reused], np.int64)
    changes = loaded.copy()
    changes[1:] ^= loaded[:-1]
    changes[borders] |= loaded[borders]
    at = np.flatnonzero(changes)
    begins = np.flatnonzero(loaded[at])
    starts, ends = at[begins], at[begins + 1]
    which = np.searchsorted(borders, starts, side="right") - 1
    return Loads(tuple(one.variant for one in plan.reused), which, starts - borders[which], starts, ends - starts)


def _repaired(task: RepairTask, policy: str) -> dict[int, NDArray[np.int64]]:
    """Return the positions that are repaired, by piece."""
    if not task.chunks:
        return {}
    tokens = POLICIES[policy](task)
    ends = np.searchsorted(tokens, task.offsets + task.lengths)
    cuts = [0, *ends.tolist()]
    counts = ends.copy()
    counts[1:] -= ends[:-1]
    positions = tokens + np.repeat(task.starts - task.offsets, counts)
    return {one.piece: positions[begin:end] for one, (begin, end) in zip(task.chunks, pairwise(cuts), strict=True)}
