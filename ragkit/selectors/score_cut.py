"""Score cut: judge the hits again, put the scores on a scale, and keep the best until the scores fall (SAGE, METEORA).

What it does well or badly is what the reranker, the calibration and the policy do, so the trace names all three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import fields
from typing import Any, ClassVar, cast

import numpy as np

from ragkit.errors import ConfigError, ContractError, UsageError
from ragkit.protocols import Corpus, Reranker
from ragkit.schema import Hit, Selection
from ragkit.scoring.calibration import Calibration, check_scorer
from ragkit.scoring.cut import Policy, explained
from ragkit.scoring.drop import Drop
from ragkit.scoring.named import make_calibration, make_policy
from ragkit.scoring.order import ChunkScore, Scores, descending, finite
from ragkit.scoring.pruning import Pruned, Pruning, score_candidates
from ragkit.selectors.fitting import Count, Fitting
from ragkit.selectors.weighing import Weights, weighed, weights_of

_AUTO = Drop(compare_to="anchor")
"""Scores of embedders fall in small steps: no step is a cliff, however far down the list has come."""


class ScoreCutSelector:
    """Keeps the best-scored hits up to the cut of `policy`, within the limit of tokens."""

    name = "score_cut"
    default_reranker: ClassVar[str] = "cosine"
    auto_policy: ClassVar[Policy] = _AUTO
    """What the policy "auto" stands for."""

    def __init__(
        self,
        policy: str | Mapping[str, Any] = "auto",
        calibration: str | Mapping[str, Any] = "auto",
        *,
        prune: float | None = None,
        early_exit: int | None = None,
        prune_k: int = 5,
        audit: bool = False,
        max_tokens: int | None = None,
        reranker: Reranker | None = None,
        count: Count | None = None,
    ) -> None:
        """Score with `reranker`, or keep the retriever's scores without one (`reranker: none` in a configuration).

        Args:
            policy: Where to cut: drop, sage, elbow, meteora, knee, share, fixed, threshold, within, or a mapping with
                its options; auto is drop against the best score instead of the one before, two hits at least.
            calibration: auto (what suits the reranker's scale), none, sigmoid, clamp, exp, minmax, or isotonic.
            prune: Leave out unscored what is further than this share below the retriever's `prune_k`-th score.
            early_exit: Stop scoring after so many hits in a row that do not enter the best `prune_k`.
            prune_k: The number of best hits that pruning and early exit have in view.
            audit: Score the left out too, only to report in the trace which share of the best was missed.
            max_tokens: Most tokens kept of what stands before the cut, beside the limit of the call; None: that alone.
            reranker: Judges each hit's `index_text`.
            count: Measures texts in the answering model's tokens.
        """
        if max_tokens is not None and max_tokens < 0:
            raise ConfigError(f"max_tokens is {max_tokens}; expected 0 or more.", hint="Correct max_tokens.")
        self._policy: Policy = make_policy(policy, _AUTO)
        self._most = max_tokens
        self._weights: Weights | None = None
        self._pruning = Pruning(prune_k, prune, early_exit, audit)
        self._reranker = reranker
        self._count = count
        advised = getattr(reranker, "calibration", None)
        self._calibration: Calibration = make_calibration(
            calibration, None if reranker is None else reranker.scale, advised
        )
        self._check_pruning()

    def weighted(self, weights: Weights) -> ScoreCutSelector:
        """Return this selector with the reranker's calibrated scores weighed (`ragkit.selectors.weighing`)."""
        made = copy(self)
        made._weights = weights
        return made

    def select(
        self,
        query: str,
        hits: Sequence[Hit],
        limit: int | None = None,
        corpus: Corpus | None = None,  # noqa: ARG002 - the protocol's
    ) -> Selection:
        """Return the hits before the cut, best first, and why the rest fell.

        Raises UsageError for scores below 0 where the policy compares ratios; ContractError for scores that are not
        finite or not as many as the hits.
        """
        limit = min((one for one in (limit, self._most) if one is not None), default=None)
        fitting, ranked = Fitting.of(hits, limit, self._count)
        pruned = self._scored(query, ranked) if ranked else Pruned(np.zeros(0), {}, None)
        known = [place for place in range(len(ranked)) if place not in pruned.reasons]
        scored = [
            ChunkScore(float(score), ranked[place].rank, ranked[place].chunk_id, float(pruned.scores[place]))
            for place, score in zip(known, self._judged(pruned, ranked, known), strict=True)
        ]
        order = descending(scored)
        values = np.array([scored[at].score for at in order])
        kept, reason = self._cut(values)
        for at, place in enumerate(order):
            hit, score = ranked[known[place]], scored[place].score
            if at < kept:
                fitting.take(hit)
            else:
                fitting.drop(hit, f"score {score:.4g} is place {at + 1}, and the cut keeps {kept}: {reason}")
        for place, why in sorted(pruned.reasons.items()):
            fitting.drop(ranked[place], why)
        trace = self._trace(pruned, kept, reason, [(scored[place].chunk_id, scored[place].score) for place in order])
        selection = fitting.selection()
        return Selection(selection.hits, selection.dropped, selection.tokens, trace=trace)

    def _judged(self, pruned: Pruned, ranked: Sequence[Hit], known: list[int]) -> Scores:
        """Return the calibrated scores of the hits at the places `known`, weighed where there are weights."""
        calibrated = self._calibration(pruned.scores[known])
        if self._weights is None or self._reranker is None:  # a retriever's scores come weighed
            return calibrated
        return weighed(calibrated, weights_of(self._weights, [ranked[place] for place in known]))

    def _scored(self, query: str, ranked: Sequence[Hit]) -> Pruned:
        """Return the uncalibrated scores of the hits, those of the retriever without a reranker."""
        first = finite([hit.score for hit in ranked], "retriever's scores")
        reranker = self._reranker
        check_scorer(self._calibration, reranker)
        if reranker is None:
            return Pruned(first, {}, None)

        def score(places: Sequence[int]) -> Scores:
            texts = [ranked[place].chunk.index_text for place in places]
            return finite(reranker.score(query, texts), f"scores of {reranker.name}", len(texts))

        # hits that were fused or expanded may not stand in the order of their scores: ranks are what counts
        return score_candidates(np.minimum.accumulate(first), self._pruning, score)

    def _cut(self, values: Scores) -> tuple[int, str]:
        try:
            return explained(values, self._policy)
        except ContractError as error:
            raise UsageError(error.message, hint=error.hint) from None

    def _check_pruning(self) -> None:
        if self._pruning.alpha is None and self._pruning.patience is None:
            return
        if self._reranker is None:
            raise ConfigError(
                "Pruning or early exit was asked for, but there is no reranker whose work it could save.",
                hint="Name a reranker, or leave out prune and early_exit.",
            )
        if getattr(self._reranker, "listwise", False):
            raise ConfigError(
                f"The reranker {self._reranker.name!r} ranks all hits against each other; it cannot leave out some.",
                hint="Leave out prune and early_exit, or name a reranker that scores each text by itself.",
            )

    def _trace(self, pruned: Pruned, kept: int, reason: str, scores: list[tuple[str, float]]) -> dict[str, Any]:
        options = [one.name for one in fields(cast(Any, self._policy))]  # every policy is a dataclass
        policy = {option: getattr(self._policy, option) for option in options}
        return {
            "selector": self.name,
            **({} if self._most is None else {"budget": self._most}),
            "reranker": None if self._reranker is None else self._reranker.name,
            "calibration": self._calibration.trace(),
            "policy": {"name": self._policy.name, **policy},
            "cut": {"kept": kept, "reason": reason},
            "pruning": pruned.trace(),
            "scores": [list(one) for one in scores],
        }
