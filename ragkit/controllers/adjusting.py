"""A selection with one chunk fewer or more: what always changes the prompt, unlike a changed setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ragkit.controllers.arranging import place
from ragkit.protocols import Asking
from ragkit.schema import Dropped, Hit, Selection


def smaller(selection: Selection, asking: Asking) -> Selection | None:
    """Return `selection` without its last chunk, None where only one is left."""
    if len(selection.hits) < 2:
        return None
    last = max(selection.hits, key=lambda hit: hit.rank) if selection.ordered else selection.hits[-1]
    kept = tuple(hit for hit in selection.hits if hit is not last)
    dropped = (Dropped(last, "the judge wants less"), *selection.dropped)
    return replace(selection, hits=kept, dropped=dropped, tokens=_tokens(kept, asking))


def larger(selection: Selection, asking: Asking) -> Selection | None:
    """Return `selection` with the best chunk that it dropped and that fits, None where there is none.

    What was dropped with flags (distrusted, contradicting, ...) never comes back. It has to fit the selector's own
    budget too, where the trace tells one, and goes to its place where the hits stand in the order of their documents.
    """
    limit = min(asking.limit, _own_budget(selection))
    for one in _waiting(selection):
        kept = _with(selection, one.hit)
        tokens = _tokens(kept, asking)
        if tokens <= limit:
            dropped = tuple(other for other in selection.dropped if other is not one)
            return replace(selection, hits=kept, dropped=dropped, tokens=tokens)
    return None


def _with(selection: Selection, hit: Hit) -> tuple[Hit, ...]:
    """Return the hits with `hit`: last where the best is first, else at its place in the documents' order, or first."""
    if not selection.ordered:
        return *selection.hits, hit
    kept = list(selection.hits)
    if kept == sorted(kept, key=place):
        return tuple(sorted([*kept, hit], key=place))
    return hit, *kept


def _own_budget(selection: Selection) -> float:
    """Return the most tokens that the selector set itself: `budget` of its trace, a number or with `tokens`."""
    told = selection.trace.get("budget")
    own = told.get("tokens") if isinstance(told, Mapping) else told
    return own if isinstance(own, int | float) else math.inf


def _waiting(selection: Selection) -> list[Dropped]:
    """Return what may come back, best first: by the selector's own scores where its trace tells them, else by rank."""
    scores = dict(selection.trace.get("scores", ()))
    inside = {hit.part_of or hit.chunk_id for hit in selection.hits}
    waiting: dict[str, Dropped] = {}
    for one in selection.dropped:
        name = one.hit.part_of or one.hit.chunk_id
        if not one.flags and (name not in inside or one.hit.part_of):
            waiting.setdefault(one.hit.chunk_id, one)
    worst = float("-inf")
    return sorted(waiting.values(), key=lambda one: (-scores.get(one.hit.chunk_id, worst), one.hit.rank))


def _tokens(hits: Sequence[Hit], asking: Asking) -> int:
    return sum(asking.count([hit.chunk.text for hit in hits]))
