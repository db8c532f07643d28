"""What one step of training compares: a question's texts, those with evidence beside hard ones without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ConfigError
from ragkit.selectors.extractive_judging import shown
from ragkit.train.asked import Asked

_NEAR = 5.0
"""How many times likelier than its rank says a sentence of a chunk with evidence is drawn: the hardest kind."""
_RANKS = 5.0
"""A sentence of the hit of rank r is drawn with a weight of 1 / (5 + r)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Texts of one question; `holds[i]` says whether text i holds evidence; at least one does and one does not."""

    question: str
    texts: tuple[str, ...]
    holds: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Drawing:
    """How many texts a group has, how many of them with evidence at most, and what is shown around a sentence."""

    size: int = 16
    positives: int = 4
    neighbours: int = 1
    chunks: float = 0.25
    """Share of groups that compare chunks instead of sentences, so that the model can rank both."""
    cloze: int = 0
    """Groups made of sentences alone (`ragkit.train.cloze`) for each question, before the first epoch."""

    def __post_init__(self) -> None:
        if self.size < 2 or self.positives < 1:
            raise ConfigError(
                f"A group of {self.size} texts, {self.positives} of them with evidence, was asked for; expected 2 or "
                "more, and 1 or more.",
                hint="There is always one without evidence, too.",
            )


def groups(asked: Sequence[Asked], drawing: Drawing, seed: int, epoch: int) -> Iterator[Group]:
    """Yield a group for each question with something to learn, in an order and with texts of this epoch's own."""
    rng = np.random.default_rng([seed, epoch])
    for place in rng.permutation(len(asked)):
        one = asked[place]
        if rng.random() < drawing.chunks and {True, False} <= set(one.chunk_labels):
            yield _chunks(one, drawing, rng)
        elif one.found:
            yield _sentences(one, drawing, rng)


def _sentences(one: Asked, drawing: Drawing, rng: np.random.Generator) -> Group:
    places = [(hit, at) for hit, own in enumerate(one.labels) for at in range(len(own))]
    labels = [one.labels[hit][at] for hit, at in places]
    weights = [(_NEAR if one.chunk_labels[hit] else 1.0) / (_RANKS + one.hits[hit].rank) for hit, _ in places]
    chosen, holds = _drawn(labels, weights, drawing, rng)
    texts = [
        shown(one.hits[hit].chunk.text, one.sentences[hit], at, drawing.neighbours)
        for hit, at in (places[place] for place in chosen)
    ]
    return Group(one.query.question, tuple(texts), holds)


def _chunks(one: Asked, drawing: Drawing, rng: np.random.Generator) -> Group:
    weights = [1.0 / (_RANKS + hit.rank) for hit in one.hits]
    chosen, holds = _drawn(one.chunk_labels, weights, drawing, rng)
    return Group(one.query.question, tuple(one.hits[place].chunk.index_text for place in chosen), holds)


def _drawn(
    labels: Sequence[bool | None], weights: Sequence[float], drawing: Drawing, rng: np.random.Generator
) -> tuple[list[int], NDArray[np.bool_]]:
    """Return which places are taken, those with evidence first, and their labels."""
    with_evidence = [place for place, label in enumerate(labels) if label is True]
    without = [place for place, label in enumerate(labels) if label is False]
    positive = rng.permutation(with_evidence)[: min(drawing.positives, drawing.size - 1)].tolist()
    room = min(drawing.size - len(positive), len(without))
    chance = np.array([weights[place] for place in without])
    negative = rng.choice(without, room, replace=False, p=chance / chance.sum()).tolist()
    holds = np.zeros(len(positive) + len(negative), np.bool_)
    holds[: len(positive)] = True
    return positive + negative, holds
