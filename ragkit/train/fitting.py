"""Epochs of training with a look at held-out questions after each, until they get no better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import UsageError
from ragkit.protocols import Progress
from ragkit.selectors.extractive_judging import JudgedSentences
from ragkit.train.asked import Asked
from ragkit.train.cloze import cloze_groups
from ragkit.train.groups import Drawing, Group, groups
from ragkit.train.ranking import Ranking, ranking

if TYPE_CHECKING:
    from ragkit.train.loop import Judge


@dataclass(frozen=True, slots=True)
class Fitting:
    """How groups are drawn, after how many epochs without gain to stop, and who hears of it."""

    drawing: Drawing
    patience: int = 1
    progress: Progress | None = None

    def fitted(
        self, judge: Judge, train: Sequence[Asked], held: Sequence[Asked]
    ) -> tuple[list[dict[str, Any]], Ranking]:
        """Train `judge`; return the figures by epoch, and how the best epoch, whose weights it has then, ranks `held`.

        What counts is the sum of recall and reciprocal rank of the held-out questions.
        """
        learnable = [one for one in train if one.found]
        history = _History(judge, self.patience)
        scorer = JudgedSentences(InMemory(judge), self.drawing.neighbours)
        total = judge.steps.epochs * len(learnable)
        done = 0

        def advance(by: int, loss: float) -> None:
            nonlocal done
            done += by
            history.losses.append(loss)
            if self.progress is not None:
                self.progress("training", min(done, total), total)

        def after(epoch: int) -> bool:
            stage = f"held-out questions, epoch {epoch + 1}"
            return history.took(epoch, ranking(held, scorer.score, progress=self.progress, stage=stage))

        self.fit(judge, learnable, advance=advance, after_epoch=after)
        return history.restored()

    def fit(
        self,
        judge: Judge,
        learnable: Sequence[Asked],
        *,
        advance: Callable[[int, float], None] | None = None,
        after_epoch: Callable[[int], bool] | None = None,
    ) -> None:
        """Train `judge` for all epochs of its steps; see `Judge.fit`."""
        seed = judge.steps.seed

        def drawn(epoch: int) -> Iterator[Group]:
            warm = cloze_groups(learnable, self.drawing, seed) if epoch == 0 else iter(())
            return chain(warm, groups(learnable, self.drawing, seed, epoch))

        extra = self.drawing.cloze * len(learnable)
        judge.fit(drawn, len(learnable), extra, advance=advance, after_epoch=after_epoch)


@dataclass(slots=True)
class _Best:
    value: float
    epoch: int
    ranking: Ranking
    state: dict[str, Any]


@dataclass(slots=True)
class _History:
    """The figures of each epoch, and the weights of the best one; `losses` are those since the last epoch ended."""

    judge: Judge
    patience: int
    losses: list[float] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: _Best | None = None

    def took(self, epoch: int, found: Ranking) -> bool:
        """Take note of an epoch; return whether to stop."""
        loss = sum(self.losses) / max(1, len(self.losses))
        self.losses.clear()
        self.rows.append({"epoch": epoch + 1, "loss": round(loss, 4), **found.means()})
        value = float(found.recall.mean() + found.reciprocal.mean())
        if self.best is None or value > self.best.value:
            self.best = _Best(value, epoch, found, self.judge.state())
        return epoch - self.best.epoch >= self.patience

    def restored(self) -> tuple[list[dict[str, Any]], Ranking]:
        """Give the judge the best weights; return all rows and the best epoch's ranking."""
        if self.best is None:
            raise UsageError("No epoch was trained.", hint="Give --epochs of at least 1.")
        self.judge.restore(self.best.state)
        return self.rows, self.best.ranking


class InMemory:
    """A judge that is being trained, as a reranker."""

    name = "judge in training"
    fingerprint = ""
    scale: Literal["probability", "cosine", "logit", "unbounded"] = "logit"
    window: int | None = None

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the logits of the weights as they are now."""
        return self._judge.score(query, texts)
