"""From token scores to one score a sentence: the mean negative log-likelihood of its tokens, given all before them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ragkit.chunkers.attempts import Failed
from ragkit.chunkers.minima import Scores
from ragkit.chunkers.units import Units
from ragkit.inference import TokenScores

Values = NDArray[np.float32] | NDArray[np.float64]


def owners(units: Units, spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the unit of each token, shape (tokens,): the one that its first visible character belongs to.

    Many tokenizers put the space before a word into the word's token. Such a token's first character is in the sentence
    before; the first word of a sentence would count for the last one.
    """
    starts = units.borders[:-1]
    owner = np.maximum(starts.searchsorted(spans[:, 0], "right") - 1, 0)
    following = np.append(starts[1:], np.iinfo(np.int64).max)[owner]
    at_space = spans[:, 0] >= _visible_ends(units)[owner]
    return np.where(at_space & (spans[:, 1] > following), np.minimum(owner + 1, len(starts) - 1), owner)


def sentence_means(units: Units, scores: TokenScores, *, drop_first: bool = False) -> Scores | Failed:
    """Return the mean score of each unit in nats a token, shape (units,); NaN for a unit without a scored token.

    The first token of a text counts only where the model could score it (after its start token), with `drop_first`
    never. Any other score that is not a finite number is a failure.
    """
    values = scores.nll.astype(np.float64)
    broken = np.flatnonzero(~np.isfinite(values))
    if len(broken) and (broken[-1] > 0 or not np.isnan(values[0])):
        worst = int(broken[-1])
        return Failed(f"the model gave the token at character {scores.spans[worst, 0]} the score {values[worst]}.")
    counted = np.ones(len(values), bool)
    if len(values):
        counted[0] = not drop_first and not np.isnan(values[0])
    owner = owners(units, scores.spans)[counted]
    totals = np.bincount(owner, values[counted], len(units))
    counts = np.bincount(owner, minlength=len(units))
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Scores = totals / counts
    return means


def mean_of_each(scored: list[TokenScores], *, drop_first: bool = False) -> Scores | Failed:
    """Return the mean score of each of the sentences that were scored one by one, shape (sentences,).

    The rules are those of `sentence_means`.
    """
    means = np.full(len(scored), np.nan)
    for index, sentence in enumerate(scored):
        values = sentence.nll.astype(np.float64)
        if index == 0 and len(values) and (drop_first or np.isnan(values[0])):
            values = values[1:]
        if not np.isfinite(values).all():
            return Failed(f"the model gave a token of sentence {index} no finite score.")
        if len(values):
            means[index] = values.mean()
    return means


def _visible_ends(units: Units) -> NDArray[np.int64]:
    """Return where each unit ends without its trailing white space, shape (units,)."""
    borders, text = units.borders.tolist(), units.text
    ends = [start + len(text[start:end].rstrip()) for start, end in pairwise(borders)]
    return np.array(ends, np.int64)
