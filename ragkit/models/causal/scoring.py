"""Every token's negative log-likelihood, for many texts: one stream of full batches that never waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.inference import TokenScores, Windows
from ragkit.models.arrival import Arrival, Arrived
from ragkit.models.causal.batching import Job, batches
from ragkit.models.causal.forward import Forward, memory_error
from ragkit.models.causal.passes import passes
from ragkit.models.causal.tokens import ScoringTokenizer, Tokenised
from ragkit.protocols import Progress

STAGE = "score"

_AHEAD = 3
"""Batches that may be under way on a GPU before the first of them is waited for."""


class _Sent(NamedTuple):
    """A batch on its way: its losses become readable when `done` has happened."""

    jobs: list[Job]
    losses: torch.Tensor
    done: Any


@dataclass(slots=True)
class Scorer:
    """Scores texts with one model; `start` stands in front of every pass, so that each token has something before it.

    `batch_tokens` bounds one batch; it shrinks for good where the device's memory does not hold it.
    """

    name: str
    forward: Forward
    tokenizer: ScoringTokenizer
    start: int
    batch_tokens: int

    def score(
        self,
        texts: Sequence[str],
        contexts: Sequence[str],
        windows: Windows,
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,
        arrived: Arrived | None = None,
    ) -> list[TokenScores]:
        """Return the scores of each text; progress counts tokens scored, the total is known once all are tokenised."""
        run = _Run(len(texts), progress, arrived)
        waiting: deque[_Sent] = deque()
        ahead = _AHEAD if self.forward.device.type == "cuda" else 0
        with torch.inference_mode():
            try:
                for batch in batches(run.jobs(self.tokenizer.groups(texts, contexts), windows), self.batch_tokens):
                    for part in self._parts(batch):
                        if meter is not None:
                            read = sum(job.length for job in part)
                            meter.spend(STAGE, prompt_tokens=read, calls=len(part), dollars=0.0)
                        waiting.extend(self._send(part))
                    while len(waiting) > ahead:
                        run.take(waiting.popleft())
            finally:  # what is under way is paid for
                for sent in waiting:
                    run.take(sent)
        return [run.scores(index) for index in range(len(texts))]

    def _parts(self, batch: list[Job]) -> Iterator[list[Job]]:
        """Yield `batch` in the parts that the device's memory was seen to hold."""
        at = 0
        while at < len(batch):
            rows = max(1, self.batch_tokens // batch[0].length)  # read anew: it may have shrunk meanwhile
            yield batch[at : at + rows]
            at += rows

    def _send(self, jobs: list[Job]) -> list[_Sent]:
        """Start the passes of `jobs` in one batch, or in halves where memory is short."""
        try:
            return [self._start(jobs)]
        except torch.OutOfMemoryError as error:
            shortage = error
        if len(jobs) == 1:
            raise memory_error(self.name, jobs[0].length, shortage) from shortage
        self.batch_tokens = len(jobs) // 2 * jobs[0].length
        torch.cuda.empty_cache()
        return [sent for part in self._parts(jobs) for sent in self._send(part)]

    def _start(self, jobs: list[Job]) -> _Sent:
        width = jobs[0].length
        places = [
            np.arange(span.first - span.start, span.stop - span.start) + row * width
            for row, (_, span) in enumerate(jobs)
        ]
        targets = np.concatenate([text.ids[span.first : span.stop] for text, span in jobs]).astype(np.int64)
        hidden = self.forward.hidden([self._read(job) for job in jobs], np.concatenate(places), width)
        losses = self.forward.head.nll(hidden, self.forward.sent(targets))
        done = None
        if losses.is_cuda:
            losses = losses.to("cpu", non_blocking=True)
            done = torch.cuda.Event()
            done.record()
        return _Sent(jobs, losses, done)

    def _read(self, job: Job) -> NDArray[np.int32]:
        """Return what the model reads in one pass; the last token is predicted and never read."""
        before = np.array([self.start], dtype=np.int32)
        return np.concatenate([before, job.text.ids[job.span.start : job.span.stop - 1]])


class _Run:
    """What one call has found so far."""

    def __init__(self, texts: int, progress: Progress | None, arrived: Arrived | None) -> None:
        self.spans: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)] * texts
        self.nll: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * texts
        self._missing = [0] * texts
        self._progress = progress
        self._arrived = arrived
        self._known = self._done = 0
        self._complete = False

    def jobs(self, groups: Iterator[list[Tokenised]], windows: Windows) -> Iterator[list[Job]]:
        """Yield the passes of each group of texts and make room for their scores."""
        for group in groups:
            for text in group:
                self.spans[text.index] = text.spans
                self.nll[text.index] = np.full(len(text.spans), np.nan, dtype=np.float32)
                self._missing[text.index] = len(text.spans)
                self._known += len(text.spans)
                self._tell(text.index)
            yield [Job(text, span) for text in group for span in passes(len(text.ids), windows, text.given)]
        self._complete = True

    def take(self, sent: _Sent) -> None:
        """Put the losses of a batch, waited for if need be, where they belong."""
        if sent.done is not None:
            sent.done.synchronize()
        losses = sent.losses.numpy()
        at = 0
        for text, span in sent.jobs:
            count = span.stop - span.first
            self.nll[text.index][span.first - text.given : span.stop - text.given] = losses[at : at + count]
            self._missing[text.index] -= count
            self._tell(text.index)
            at += count
        self._done += at
        if self._progress is not None:
            self._progress(STAGE, self._done, self._known if self._complete else None)

    def scores(self, index: int) -> TokenScores:
        """Return what is known of one text."""
        return TokenScores(self.spans[index], self.nll[index])

    def _tell(self, index: int) -> None:
        if self._arrived is not None and not self._missing[index]:
            self._arrived(Arrival(index, self.scores(index), len(self.nll[index])))
