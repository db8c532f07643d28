"""Maximal marginal relevance: relevant hits that do not repeat each other (Carbonell and Goldstein, SIGIR 1998).

Each step takes the hit with the largest

    balance * relevance(hit) - (1 - balance) * max over the kept hits of cosine(hit, kept)

Relevance is the retriever's score rescaled to [0, 1] over the hits given (1 if all are equal), not the cosine to the
question as in the paper: the hits may come from a lexical or fused ranking, and the retriever's judgement should not be
thrown away. Its price: relevance depends on the worst hit of the list. Ties go to the better rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ConfigError, UsageError
from ragkit.protocols import Corpus
from ragkit.schema import Hit, Selection
from ragkit.scoring.order import finite
from ragkit.selectors.fitting import Count, Fitting


class MmrSelector:
    """Keeps `k` hits that are relevant and differ; `balance` 1 is pure relevance, 0 pure novelty."""

    name = "mmr"

    def __init__(self, k: int = 5, balance: float = 0.5, count: Count | None = None) -> None:
        """Keep `k` hits; `count` measures texts in the answering model's tokens."""
        if k < 1:
            raise ConfigError(f"k is {k}; expected at least 1.", hint="Keep one hit or more.")
        if not 0.0 <= balance <= 1.0:
            raise ConfigError(f"balance is {balance}; expected 0 to 1.", hint="1 is relevance alone, 0 novelty alone.")
        self._k = k
        self._balance = balance
        self._count = count

    def select(
        self,
        query: str,  # noqa: ARG002 - the protocol's; the retriever has judged already
        hits: Sequence[Hit],
        limit: int | None = None,
        corpus: Corpus | None = None,
    ) -> Selection:
        """Return hits in the order they were chosen, and why the rest fell; needs `corpus` for the vectors.

        Raises UsageError without a corpus, ContractError for scores that are not finite.
        """
        if corpus is None and hits:
            raise UsageError("MMR compares the vectors of hits, but no corpus was given.", hint="Pass `corpus`.")
        fitting, ranked = Fitting.of(hits, limit, self._count)
        if not ranked or corpus is None:
            return self._told(fitting, {}, "there are no candidates")
        vectors = corpus.vectors([hit.row for hit in ranked])
        relevance = _rescaled(finite([hit.score for hit in ranked], "retriever's scores"))
        reasons = self._choose(fitting, ranked, relevance, np.asarray(vectors, dtype=np.float64))
        kept = len(fitting.kept)
        reason = f"the best {kept} that fit" if kept < len(ranked) else "there are no more candidates"
        return self._told(fitting, reasons, reason)

    def _told(self, fitting: Fitting, reasons: dict[str, str], stopped: str) -> Selection:
        trace = {"selector": self.name, "k": self._k, "balance": self._balance, "stopped": stopped, "reasons": reasons}
        return replace(fitting.selection(), trace=trace)

    def _choose(
        self, fitting: Fitting, ranked: list[Hit], relevance: NDArray[np.float64], vectors: NDArray[np.float64]
    ) -> dict[str, str]:
        """Fill `fitting` greedily and say why each was kept; cosines are updated, so the cost is k times the hits."""
        reasons = {}
        repeated = np.zeros(len(ranked))  # highest cosine to a kept hit; 0 before the first, as nothing is repeated
        open_ = np.ones(len(ranked), dtype=bool)
        while open_.any() and len(fitting.kept) < self._k:
            margin = self._balance * relevance - (1 - self._balance) * repeated
            best = int(np.argmax(np.where(open_, margin, -np.inf)))
            open_[best] = False
            if fitting.take(ranked[best]):
                reasons[ranked[best].chunk_id] = (
                    f"marginal relevance {margin[best]:.3f} (relevance {relevance[best]:.3f}, similarity to a kept hit "
                    f"{repeated[best]:.3f}) is number {len(fitting.kept)}"
                )
                cosines = vectors @ vectors[best]
                repeated = cosines if len(fitting.kept) == 1 else np.maximum(repeated, cosines)
        margin = self._balance * relevance - (1 - self._balance) * repeated
        for index in np.flatnonzero(open_):
            fitting.drop(
                ranked[index],
                f"marginal relevance {margin[index]:.3f} (relevance {relevance[index]:.3f}, similarity to a kept hit "
                f"{repeated[index]:.3f}) is below the best {self._k}",
            )
        return reasons


def _rescaled(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)
