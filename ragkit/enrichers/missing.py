"""What a passage lacks, as a model lists it, and the checks that a listed fact must pass before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ragkit.enrichers.facts import Vocabulary, occurs, words

MOST_FACTS = 3
SUPPORT = 0.5
"""Share of a supplement's words that must stand in its evidence or in the passage."""


class Missing(BaseModel):
    """One fact: words of the passage, and what the document says about them; capped, so that small models end."""

    mention: str = Field(min_length=1, max_length=60)
    kind: Literal["reference", "term", "background"]
    supplement: str = Field(min_length=1, max_length=160)
    evidence: str = Field(min_length=1, max_length=240)


class Reflection(BaseModel):
    """The reply to M4."""

    items: list[Missing] = Field(max_length=MOST_FACTS)


class Refinement(BaseModel):
    """The reply to M5: numbers of the facts to keep, from 1."""

    keep: list[Annotated[int, Field(ge=0, le=99)]] = Field(max_length=MOST_FACTS)


def backed(items: Iterable[Missing], passage: str, document: Vocabulary) -> tuple[list[Missing], str]:
    """Return the items that the texts back, each supplement once, and why the first of the others fell.

    The mention stands in the passage; the evidence stands in the document but not in the passage; the supplement's
    numbers and capitalised words, and half of its other words, stand in the evidence or the passage; it says something
    that the passage does not.
    """
    kept: list[Missing] = []
    why = "nothing is missing"
    for item in items:
        reason = _fault(item, passage, document)
        if reason is None and item.supplement not in [other.supplement for other in kept]:
            kept.append(item)
        elif not kept and why == "nothing is missing":
            why = reason or why
    return kept, why


def chosen(items: Sequence[Missing], numbers: Iterable[int]) -> list[Missing]:
    """Return the items of those numbers, counted from 1, in the order of `items`; other numbers mean nothing."""
    wanted = set(numbers)
    return [item for number, item in enumerate(items, 1) if number in wanted]


def _fault(item: Missing, passage: str, document: Vocabulary) -> str | None:
    if not occurs(item.mention, passage):
        return "a mention is not in the passage"
    if not document.holds(item.evidence):
        return "evidence is not in the document"
    if occurs(item.evidence, passage) or occurs(item.supplement, passage):
        return "the passage says it already"
    support = f"{item.evidence}\n{passage}"
    invented = Vocabulary(support).invented(item.supplement)
    if invented is not None:
        return f"{invented!r} is not in the evidence"
    own = words(item.supplement)
    if not own or len(own & words(support)) < SUPPORT * len(own):
        return "the evidence does not support the supplement"
    return None
