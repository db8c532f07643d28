"""How far from exact a freshly computed chunk is, by what stood before it (pitfall 6 of the specification)."""

from __future__ import annotations

from ragkit.cachecraft.core.choice import stands_as_made
from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.prompt import Kind


def generation(plan: Plan, piece: int) -> int:
    """Return 0 if everything before `piece` is computed exactly, else one more than the most approximate variant there.

    A reused chunk of generation 0 that stands where its variant was made, behind the same ids, is exact;
    every other reused chunk counts with its generation, even where all its tokens are repaired.
    """
    approximate = [
        one.variant.generation
        for one in plan.reused
        if one.piece < piece
        and plan.layout.pieces[one.piece].kind is Kind.CHUNK
        and not stands_as_made(one.variant, one.start, plan.layout)
    ]
    return 1 + max(approximate) if approximate else 0
