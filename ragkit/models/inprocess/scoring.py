"""Every token's negative log-likelihood from vLLM's prompt_logprobs, in the passes of the local model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.inference import TokenScores, Windows
from ragkit.models.arrival import Arrival, Arrived
from ragkit.models.causal.passes import Pass, passes
from ragkit.models.causal.tokens import Tokenised
from ragkit.models.inprocess.bill import Bill
from ragkit.models.inprocess.calls import Answer, Call, answer_all
from ragkit.models.inprocess.engine import Engine
from ragkit.models.inprocess.vocabulary import Vocabulary
from ragkit.protocols import Progress

_OPTIONS = {"temperature": 0.0, "prompt_logprobs": 0}


class Scores:
    """The scores of one bulk call as they come in."""

    def __init__(self, texts: Sequence[Tokenised], arrived: Arrived | None, progress: Progress | None) -> None:
        self.nll = [np.full(len(text.spans), np.nan, dtype=np.float32) for text in texts]
        self._texts = texts
        self._arrived = arrived
        self._progress = progress
        self._missing = [len(text.spans) for text in texts]
        self._read = [0] * len(texts)
        self._seconds = [0.0] * len(texts)
        self._total = sum(self._missing)

    def take(self, index: int, one: Pass, answer: Answer) -> None:
        """Put the scores of one pass of a text where they belong, and tell the text once it is complete."""
        text = self._texts[index]
        told = -np.asarray(answer.prompt_logprobs.logprobs, dtype=np.float64)
        self.nll[index][one.first - text.given : one.stop - text.given] = told[one.first - one.start :]
        self._missing[index] -= one.stop - one.first
        self._read[index] += one.stop - one.start + 1
        self._seconds[index] += answer.seconds
        if self._progress is not None:
            self._progress("score", self._total - sum(self._missing), self._total)
        if not self._missing[index]:
            self.tell(index)

    def tell(self, index: int) -> None:
        """Say that a text is complete."""
        if self._arrived is not None:
            self._arrived(Arrival(index, self.of(index), self._read[index], 0, self._seconds[index]))

    def of(self, index: int) -> TokenScores:
        """Return the scores of one text."""
        return TokenScores(self._texts[index].spans, self.nll[index])


def score_all(
    engine: Engine,
    vocabulary: Vocabulary,
    texts: Sequence[str],
    contexts: Sequence[str],
    *,
    windows: Windows,
    bill: Bill,
    arrived: Arrived | None,
    progress: Progress | None,
) -> list[TokenScores]:
    """Return the scores of each text after its context; each is told as soon as its last pass is done."""
    read = [text for group in vocabulary.scoring.groups(texts, contexts) for text in group]
    scores = Scores(read, arrived, progress)
    jobs = [(text.index, one) for text in read for one in passes(len(text.ids), windows, text.given)]
    start = np.array([vocabulary.start], dtype=np.int32)

    def ids(index: int, one: Pass) -> NDArray[np.int32]:
        return np.concatenate([start, read[index].ids[one.start : one.stop]])

    for text in read:
        if not len(text.spans):
            scores.tell(text.index)
    calls = [Call(ids(index, one), options=_OPTIONS) for index, one in jobs]
    answer_all(engine, bill, calls, lambda place, answer: scores.take(*jobs[place], answer))
    return [scores.of(index) for index in range(len(read))]
