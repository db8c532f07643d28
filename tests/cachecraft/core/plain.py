"""The bookkeeping by its definitions, chunk by chunk and token by token: what the quick one is held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ragkit.cachecraft.core.choice import Chosen, stands_as_made
from ragkit.cachecraft.core.offset import variant_cfo
from ragkit.cachecraft.core.overlap import overlap
from ragkit.cachecraft.core.plan import Load, Plan
from ragkit.cachecraft.core.prompt import Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import Variant


def plain_choice(
    layout: Layout,
    keys: Mapping[int, str],
    candidates: Callable[[str], Sequence[Variant]],
    prefix: str,
    repair: Repair,
) -> dict[int, Chosen]:
    """Every variant's CFO in full, then the least by rank; with an alpha too large a CFO is a miss."""
    chosen = {}
    for at in sorted(keys):
        start, ids = layout.spans[at].start, layout.pieces[at].ids
        before = [one for one in layout.chunks if one < at]
        ranked = []
        for one in candidates(keys[at]):
            if not np.array_equal(one.ids, ids):
                continue
            ratio = 0.0
            if at in layout.chunks:
                sizes = [len(layout.pieces[b].ids) for b in before]
                shared = overlap(one, [keys[b] for b in before], sizes, repair.beta_mode)
                ratio = variant_cfo(one, shared, 1.0 if repair.alpha is None else repair.alpha)
                usable = one.prefix == prefix
            else:
                usable = not (one.prefix or one.history or one.start or one.generation)
            if usable:
                inexact = not stands_as_made(one, start, layout)
                ranked.append((ratio, one.generation, one.start != start, inexact, one.name, one))
        if ranked:
            ratio, *_, best = min(ranked, key=lambda row: row[:5])
            if repair.alpha is None or ratio < repair.full_threshold:
                chosen[at] = Chosen(at, start, best, ratio, stands_as_made(best, start, layout))
    return chosen


def plain_loads(plan: Plan) -> list[Load]:
    """Token by token: a run ends where a token is fresh, or its piece does."""
    fresh = set(plan.fresh.tolist())
    runs: list[Load] = []
    for one in plan.reused:
        open_run = False
        for source in range(one.variant.tokens):
            position = one.start + source
            if position in fresh:
                open_run = False
            elif open_run:
                runs[-1] = runs[-1]._replace(length=runs[-1].length + 1)
            else:
                runs.append(Load(one.variant, source, position, 1))
                open_run = True
    return runs
