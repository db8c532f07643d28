"""`coverage`: the value of a set of chunks without any model, from the question's words and the retriever's scores.

    W(S) = (1 - r) * sum over terms t of w_t * max over S of sim(t, x)  +  r * max over S of rel(x)
           - redundancy * mean over pairs of S of cosine(x, y)

A facility location over the question's terms, w_t being their idf among the candidates, scaled to sum 1, and sim the
saturated term frequency of BM25, in [0, 1); less a penalty that lets a further chunk lower the value (section i of the
specification of CORAG). The share r is ours: without it a paraphrase that shares no word with the question is worth
nothing. rel is the retriever's score rescaled to [0, 1] over the candidates. Order means nothing to it, and it is no
substitute for a trained scorer: results say `coverage`.

All but the question's terms is known before the search, so that valuing a set with each of n chunks appended takes
O(n * terms) in NumPy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.index.analysis import analyzable, analyzer
from ragkit.scoring.order import Scores
from ragkit.selectors.combining import Items

_K1, _B = 1.2, 0.75


class _State(NamedTuple):
    """What a set covers of each term, its summed similarity to each candidate, and that of its own pairs."""

    covered: Scores
    similarity: Scores
    pairs: float
    size: int


@dataclass(slots=True)
class Coverage:
    """The set function over fixed candidates.

    `terms` is the weighted similarity of each candidate to each term, shape (candidates, terms), so that a row sums to
    at most 1; `similarity` the cosines between candidates, shape (candidates, candidates).
    """

    terms: NDArray[np.float64]
    similarity: NDArray[np.float64]
    redundancy: float
    name: str = "coverage"
    ordered: bool = False
    scored: int = field(default=0, init=False)

    def start(self) -> _State:
        """Return the state of the empty set."""
        return _State(np.zeros(self.terms.shape[1]), np.zeros(len(self.terms)), 0.0, 0)

    def pushed(self, state: _State, item: int) -> _State:
        """Return the state of the set with `item`."""
        return _State(
            np.maximum(state.covered, self.terms[item]),
            state.similarity + self.similarity[item],
            state.pairs + float(state.similarity[item]),
            state.size + 1,
        )

    def extended(self, state: _State, items: Items) -> Scores:
        """Return the value of the set with each of `items`."""
        self.scored += len(items)
        values: Scores = np.maximum(self.terms[items], state.covered).sum(axis=1)
        if state.size and self.redundancy:
            pairs = state.size * (state.size + 1) / 2
            values = values - self.redundancy * (state.pairs + state.similarity[items]) / pairs
        return values


def coverage(
    query: str,
    texts: Sequence[str],
    scores: Scores,
    *,
    relevance: float,
    redundancy: float,
    language: str,
    vectors: NDArray[np.float64] | None = None,
    weights: Scores | None = None,
) -> Coverage:
    """Return the set function of `texts` for `query`.

    `scores` are the retriever's, `vectors` the unit vectors of the texts; without them similarity is the cosine of
    tf-idf vectors. `weights` multiply what a text covers; `scores` are weighed and from 0 to 1 already then.
    """
    analyze = analyzer(language)
    asked = Counter(analyze.analyze(analyzable(query)))
    counts = [Counter(analyze.analyze(analyzable(text))) for text in texts]
    weighted = (1 - relevance) * _term_values(asked, counts)
    span = float(np.ptp(scores)) if len(scores) else 0.0
    relative = (scores - scores.min()) / span if span > 0 else np.ones(len(scores))
    similarity = _lexical_cosines(counts) if vectors is None else vectors @ vectors.T
    if weights is not None:
        weighted, relative = weighted * weights[:, None], scores
    columns = np.column_stack([weighted, relevance * relative])
    return Coverage(columns, np.asarray(similarity, np.float64), redundancy)


def _term_values(asked: Counter[str], counts: list[Counter[str]]) -> NDArray[np.float64]:
    """Return w_t * sim(t, x), shape (texts, terms); a term that no text holds has no weight."""
    frequencies = np.array([[one[term] for term in asked] for one in counts], np.float64).reshape(len(counts), -1)
    holding = (frequencies > 0).sum(axis=0)
    idf = np.log1p((len(counts) - holding + 0.5) / (holding + 0.5)) * np.array(list(asked.values()), np.float64)
    weights = np.where(holding > 0, idf, 0.0)
    weights = weights / weights.sum() if weights.sum() > 0 else weights
    lengths = np.array([one.total() for one in counts], np.float64)
    norm = _K1 * (1 - _B + _B * lengths / max(1.0, float(lengths.mean()))) if len(lengths) else lengths
    return np.asarray(weights * frequencies / (frequencies + norm[:, None]))


def _lexical_cosines(counts: list[Counter[str]]) -> NDArray[np.float64]:
    """Return the cosines of the texts' tf-idf vectors, shape (texts, texts)."""
    places: dict[str, int] = {}
    for one in counts:
        for term in one:
            places.setdefault(term, len(places))
    matrix: NDArray[Any] = np.zeros((len(counts), len(places)))
    for row, one in enumerate(counts):
        matrix[row, [places[term] for term in one]] = list(one.values())
    matrix *= np.log1p(len(counts) / np.maximum(1, (matrix > 0).sum(axis=0)))
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    return np.asarray(matrix @ matrix.T)
