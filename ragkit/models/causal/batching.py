"""Passes of many texts to batches: sorted by length, about equal in padded tokens, almost nothing padded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ragkit.models.causal.passes import Pass
from ragkit.models.causal.tokens import Tokenised

_FULL = 0.98
"""Share of real tokens from which a full batch is sent at once and does not wait for better company."""

_HELD = 64
"""Batches' worth of passes that may wait; bounds memory and keeps the model busy while texts are tokenised."""


class Job(NamedTuple):
    """One pass over one text."""

    text: Tokenised
    span: Pass

    @property
    def length(self) -> int:
        """Tokens the model reads: the start token or the one before stands in for the last, which nothing follows."""
        return self.span.stop - self.span.start


def batches(groups: Iterable[list[Job]], budget: int) -> Iterator[list[Job]]:
    """Yield batches whose padded size is at most `budget` tokens, longest passes first within what is known.

    A single longer pass is a batch of its own. Full batches without padding go at once; the others wait for more
    texts, so that all passes of all texts are sorted together up to a bounded number.
    """
    waiting: list[Job] = []
    for group in groups:
        waiting = sorted([*waiting, *group], key=lambda job: -job.length)
        everything = sum(job.length for job in waiting) > _HELD * budget
        kept: list[Job] = []
        for batch in _cut(waiting, budget):
            if everything or _is_full(batch, budget):
                yield batch
            else:
                kept += batch
        waiting = kept
    yield from _cut(waiting, budget)


def _cut(jobs: list[Job], budget: int) -> Iterator[list[Job]]:
    start = 0
    while start < len(jobs):
        rows = max(1, budget // jobs[start].length)
        yield jobs[start : start + rows]
        start += rows


def _is_full(batch: list[Job], budget: int) -> bool:
    longest = batch[0].length
    real = sum(job.length for job in batch)
    return (len(batch) + 1) * longest > budget and real >= _FULL * len(batch) * longest
