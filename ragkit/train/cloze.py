"""Questions made from the texts themselves: a sentence asks for the sentences that it stood between.

The inverse cloze task (Lee et al., ACL 2019, arXiv:1906.00300): an encoder that never read two texts together learns
to compare them before it sees the few questions that people asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ragkit.selectors.extractive_judging import SEPARATOR
from ragkit.train.asked import Asked
from ragkit.train.groups import Drawing, Group

_WORDS = 5
"""A sentence of fewer words asks for nothing in particular."""


def cloze_groups(asked: Sequence[Asked], drawing: Drawing, seed: int) -> Iterator[Group]:
    """Yield up to `drawing.cloze` groups from the hits of each question; negatives are sentences of its other hits."""
    rng = np.random.default_rng([seed, 1 << 20])
    for _ in range(drawing.cloze):
        for place in rng.permutation(len(asked)):
            group = _cloze(asked[place], drawing, rng)
            if group is not None:
                yield group


def _cloze(one: Asked, drawing: Drawing, rng: np.random.Generator) -> Group | None:
    long = [place for place, own in enumerate(one.sentences) if len(own) >= 3]
    others = [(hit, at) for hit, own in enumerate(one.sentences) for at in range(len(own))]
    if not long:
        return None
    hit = long[int(rng.integers(len(long)))]
    text, own = one.hits[hit].chunk.text, one.sentences[hit]
    middle = int(rng.integers(1, len(own) - 1))
    asking = text[slice(*own[middle])]
    negatives = [other for other in others if other[0] != hit]
    if len(asking.split()) < _WORDS or not negatives:
        return None
    around = " ".join(text[slice(*own[at])] for at in (middle - 1, middle + 1))
    positives = [f"{text[slice(*own[at])]}{SEPARATOR}{around}" for at in (middle - 1, middle + 1)][: drawing.size - 1]
    drawn = rng.permutation(len(negatives))[: drawing.size - len(positives)]
    rest = [_pair(one, *negatives[place]) for place in drawn]
    holds = np.zeros(len(positives) + len(rest), np.bool_)
    holds[: len(positives)] = True
    return Group(asking, (*positives, *rest), holds)


def _pair(one: Asked, hit: int, at: int) -> str:
    """Return a sentence with one neighbour, in the form of the sentences that are asked for."""
    text, own = one.hits[hit].chunk.text, one.sentences[hit]
    alone = text[slice(*own[at])]
    beside = [place for place in (at - 1, at + 1) if 0 <= place < len(own)]
    if not beside:
        return alone
    around = " ".join(text[slice(*own[place])] for place in sorted([at, beside[0]]))
    return f"{alone}{SEPARATOR}{around}"
