"""How well a judge of sentences finds the evidence of held-out questions, within half of the best five hits' length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.protocols import Progress
from ragkit.schema import Hit
from ragkit.train.asked import Asked
from ragkit.train.evidence import Span

Score = Callable[[str, Sequence[Hit], Sequence[Sequence[Span]]], Sequence[NDArray[np.float64]]]
"""From a question, hits and their sentences to the scores of the sentences of each."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """One value for each question.

    `recall` is that of evidence characters within the budget, `reciprocal` 1 / the rank of the first sentence with
    evidence, 0 where none was read.
    """

    recall: NDArray[np.float64]
    reciprocal: NDArray[np.float64]

    def means(self) -> dict[str, float]:
        """Return the mean of each, four digits."""
        return {
            "recall within half": round(float(self.recall.mean()), 4),
            "reciprocal rank": round(float(self.reciprocal.mean()), 4),
        }


def ranking(
    asked: Sequence[Asked],
    score: Score,
    *,
    share: float = 0.5,
    of: int = 5,
    k: int = 20,
    progress: Progress | None = None,
    stage: str = "held-out questions",
) -> Ranking:
    """Return how `score` ranks the sentences of each question's best `k` hits; the budget counts characters."""
    recalls, ranks = [], []
    for done, one in enumerate(asked):
        hits, sentences = one.hits[:k], one.sentences[:k]
        scores = np.concatenate([np.zeros(0), *score(one.query.question, hits, sentences)])
        places = [(hit, at) for hit, own in enumerate(sentences) for at in range(len(own))]
        order = [places[place] for place in np.argsort(-scores, kind="stable")]
        budget = share * sum(len(hit.chunk.text) for hit in one.hits[:of])
        recalls.append(_recall(one, order, budget))
        first = next((rank for rank, (hit, at) in enumerate(order, 1) if one.labels[hit][at]), None)
        ranks.append(0.0 if first is None else 1.0 / first)
        if progress is not None:
            progress(stage, done + 1, len(asked))
    return Ranking(np.array(recalls), np.array(ranks))


def _recall(one: Asked, order: Sequence[tuple[int, int]], budget: float) -> float:
    """Return the share of the evidence's characters in the sentences that fit, best first."""
    covered: dict[str, set[int]] = {}
    wanted = {doc_id: {place for span in spans for place in range(*span)} for doc_id, spans in one.evidence.items()}
    spent = 0
    for hit, at in order:
        start, end = one.sentences[hit][at]
        if spent + end - start > budget:
            continue
        spent += end - start
        chunk = one.hits[hit].chunk
        if chunk.doc_id in wanted:
            inside = wanted[chunk.doc_id].intersection(range(chunk.start + start, chunk.start + end))
            covered.setdefault(chunk.doc_id, set()).update(inside)
    return sum(map(len, covered.values())) / sum(map(len, wanted.values()))


def paired(ours: NDArray[np.float64], theirs: NDArray[np.float64], seed: int = 0) -> dict[str, Any]:
    """Return the mean difference over the same questions with its 95 % interval (percentile bootstrap, 2,000)."""
    gains = ours - theirs
    rng = np.random.default_rng(seed)
    means = [float(gains[rng.integers(0, len(gains), len(gains))].mean()) for _ in range(2000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": round(float(gains.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}
