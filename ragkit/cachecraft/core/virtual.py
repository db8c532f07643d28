"""A plan as an engine sees it: the last n tokens of a prompt whose other tokens are cached (vllm_backend 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ragkit.cachecraft.core.plan import Loads, Plan, Row, rows
from ragkit.cachecraft.core.planning import loads
from ragkit.cachecraft.core.prompt import Positions
from ragkit.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of an engine: the virtual positions `[begin, end)` stand for the real ones in `fresh`.

    `loads` are what has to be in place before; `rows` are what the attention kernel sees.
    """

    begin: int
    end: int
    fresh: Positions
    loads: Loads
    rows: tuple[Row, ...]


def fresh_from(plan: Plan, cached: int = 0) -> Positions:
    """Return F: the positions from `cached` on that are computed, where the engine has the first `cached` itself."""
    if not 0 <= cached < len(plan.layout.ids):
        raise UsageError(
            f"{cached} cached tokens were given; expected 0 to {len(plan.layout.ids) - 1}, less than the prompt has."
        )
    return plan.fresh[np.searchsorted(plan.fresh, cached) :]


def virtual_start(plan: Plan, cached: int = 0) -> int:
    """Return V0 = P - |F|: how many tokens the engine is told are cached; V0 + j stands for F[j], never above it."""
    return len(plan.layout.ids) - len(fresh_from(plan, cached))


def step_slices(plan: Plan, sizes: Iterable[int], cached: int = 0) -> Iterator[Step]:
    """Yield the steps of a prompt that is computed `sizes` tokens at a time; a last step takes what is left.

    The loads of a step end at its last virtual position: an engine has slots up to there and no further.
    """
    fresh = fresh_from(plan, cached)
    start = virtual_start(plan, cached)
    everything = loads(plan)
    sized = iter(sizes)
    done, loaded = 0, cached
    while done < len(fresh):
        size = next(sized, len(fresh))
        if size < 1:
            raise UsageError(f"A step of {size} tokens was given; expected 1 or more.")
        now = fresh[done : done + size]
        begin, done = start + done, done + len(now)
        end = start + done
        yield Step(begin, end, now, everything.within(loaded, end), tuple(rows(now)))
        loaded = end
