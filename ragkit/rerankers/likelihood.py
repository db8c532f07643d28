"""How likely a language model finds the question after reading the text (query likelihood; UPR, arXiv 2204.07496)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from ragkit.budget import Budget, Meter
from ragkit.errors import ModelError
from ragkit.identity import content_hash
from ragkit.inference import TokenScores
from ragkit.protocols import LanguageModel
from ragkit.scoring.order import Scores

_BRIDGE = "\n\nA question that the text above answers:\n"


class LikelihoodReranker:
    """Scores a text by the mean log-likelihood, in nats, of the question's tokens given the text; all in one call.

    The scores are 0 or less, and comparable between texts for one question only. Their natural calibration is "exp",
    the geometric mean of the tokens' probabilities: a question that is unlikely after every text changes all of them
    by one factor, which a rule of ratios does not see.
    """

    name = "likelihood"
    scale: Literal["unbounded"] = "unbounded"
    calibration = "exp"
    """What "auto" stands for here."""

    def __init__(
        self,
        language_model: LanguageModel,
        bridge: str = _BRIDGE,
        budget: Budget | None = None,
        meter: Meter | None = None,
    ) -> None:
        """Ask `language_model`; `bridge` stands between text and question, `budget` limits each call of `score`.

        `meter` is charged for all calls, as its stage "rerank".
        """
        self._model = language_model
        self._bridge = bridge
        self._budget = budget
        self._meter = meter

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the model and the bridge."""
        return content_hash("likelihood reranker", model=self._model.fingerprint, bridge=self._bridge)

    @cached_property
    def window(self) -> int:
        """Tokens of text and question together that are read, the bridge and a start token taken off."""
        return max(1, self._model.window - self._model.count([self._bridge])[0] - 1)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, in the unit of `window`."""
        return self._model.count(texts)

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the mean log-likelihoods, shape (texts,).

        A question without a token scores 0 after every text. Raises ModelError for a score that is not a number, and
        what the model raises.
        """
        if not texts:
            return np.zeros(0)
        contexts = [text + self._bridge for text in texts]
        scored = self._scored([query] * len(texts), contexts)
        means = np.array([-float(np.mean(one.nll, dtype=np.float64)) if len(one.nll) else 0.0 for one in scored])
        if not np.isfinite(means).all():
            raise ModelError(
                f"{self._model.name} gave a log-likelihood that is not a number.", hint="Name another language model."
            )
        return means

    def charged(self, meter: Meter) -> LikelihoodReranker:
        """Return this reranker with its calls on `meter`."""
        return LikelihoodReranker(self._model, self._bridge, self._budget, meter)

    def _scored(self, questions: Sequence[str], contexts: Sequence[str]) -> list[TokenScores]:
        """Return the token scores of the questions; what a limited call spends is booked even where it fails."""
        booked = None if self._meter is None else self._meter.stage("rerank")
        if self._budget is None:
            return self._model.score(questions, contexts=contexts, meter=booked)
        limited = self._budget.meter()
        try:
            return self._model.score(questions, contexts=contexts, meter=limited)
        finally:
            if booked is not None:
                _add(booked, limited)


def _add(meter: Meter, spent: Meter) -> None:
    """Book on `meter` what another one was charged."""
    for row in spent.report()["stages"].values():
        priced = row["unpriced"] < row["calls"] or row["dollars"]
        meter.record(
            "rerank",
            tokens=row["tokens"] - row["prompt_tokens"] - row["reply_tokens"],
            prompt_tokens=row["prompt_tokens"],
            reply_tokens=row["reply_tokens"],
            calls=row["calls"],
            cached=row["cached"],
            dollars=row["dollars"] if priced else None,
            seconds=row["seconds"],
        )
