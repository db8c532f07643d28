"""Margins between keeping two passages together and splitting them: the question, its answer, the moving threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.protocols import Prompt, Segment

Margins = NDArray[np.float64]
REMEMBERED = 5
"""Margins whose mean is the threshold."""

_QUESTION = """

Answer with one digit, 1 or 2, and nothing else.
{first}
{second}"""
_NEW = "B begins a new unit of thought; a reader could take A and B separately."
_SAME = "B goes on with A; apart from each other they would lose their sense."

SPLIT, KEEP = "1", "2"
LABELS = (SPLIT, KEEP)


class Weighed(NamedTuple):
    """Margins with the probability that the two labels got together, shape (n,) each."""

    margins: Margins
    mass: Margins


def question(left: str, right: str, *, swapped: bool = False) -> Prompt:
    """Return the question whether `right` goes on with `left`; the passages first, so that prefixes can be reused.

    `swapped` exchanges what the two digits mean.
    """
    meanings = (_SAME, _NEW) if swapped else (_NEW, _SAME)
    first, second = (f"{label}: {meaning}" for label, meaning in zip(LABELS, meanings, strict=True))
    return [
        Segment("PASSAGE A:\n"),
        Segment(left),
        Segment("\n\nPASSAGE B:\n"),
        Segment(right),
        Segment(_QUESTION.format(first=first, second=second)),
    ]


def weighed(probabilities: NDArray[np.float64], *, renormalise: bool, swap: bool) -> Weighed:
    """Return P(keep) - P(split) from the probabilities of `LABELS`, shape (n, 2).

    With `swap` the rows come in pairs, the second with exchanged meanings, and n / 2 means come out. `renormalise`
    divides by the probability of both labels; a pair without any has the margin 0.
    """
    mass = probabilities.sum(axis=1)
    margins = probabilities[:, 1] - probabilities[:, 0]
    if renormalise:
        margins = np.divide(margins, mass, out=np.zeros_like(margins), where=mass > 0)
    if swap:
        return Weighed((margins[::2] - margins[1::2]) / 2, (mass[::2] + mass[1::2]) / 2)
    return Weighed(margins, mass)


def kept_together(margins: Margins) -> NDArray[np.bool_]:
    """Return for each boundary of a document, shape (n,), whether its margin is above the threshold of its turn.

    The threshold is 0 for the first five, then the mean of the five margins before (Meta-Chunking, section C5 of our
    specification: the margin just used is among them, and each document begins anew).

    >>> kept_together(np.array([0.3, -0.2, 0.1, 0.4, 0.05, 0.2, 0.0])).tolist()
    [True, False, True, True, True, True, False]
    """
    thresholds = np.zeros(len(margins))
    past = len(margins) - REMEMBERED
    if past > 0:  # written out, so that the sums are the same however many margins there are
        thresholds[REMEMBERED:] = sum(margins[shift : shift + past] for shift in range(REMEMBERED)) / REMEMBERED
    kept: NDArray[np.bool_] = margins > thresholds
    return kept
