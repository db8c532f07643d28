"""The order of the sources in a prompt whose chunks are reused from a cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from ragkit.answering.prompt import build_prompt, prompt_order
from ragkit.protocols import Prompt
from ragkit.schema import Hit, Selection

Order = Literal["best_last", "document", "cached"]


def arranged(question: str, selection: Selection, order: Order, fitting: Callable[[Prompt], list[int]]) -> Selection:
    """Return `selection` in the order in which the prompt is to show it.

    "best_last": as it would be shown anyway. "document": by source and place in it, so that neighbours return in the
    same order. "cached": what `fitting` says, given the prompt; without anything stored that is the usual order.
    """
    if order == "best_last" or not selection.hits:
        return selection
    shown = list(selection.hits) if selection.ordered else prompt_order(selection.hits)
    if order == "document":
        shown.sort(key=place)
    else:
        shown = [shown[at] for at in fitting(build_prompt(question, shown))]
    return replace(selection, hits=tuple(shown), ordered=True)


def place(hit: Hit) -> tuple[str, str, int, int]:
    """Return what sorts hits by source and place in it."""
    return hit.source, hit.chunk.doc_id, hit.chunk.start, hit.chunk.end
