"""The JSON replies of `ragkit eval`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, FiniteFloat

from ragkit.cli.contract import Reply
from ragkit.cli.text import encodable

if TYPE_CHECKING:
    from ragkit.eval.experiment.tuning import Tuned
    from ragkit.eval.results import Comparison, ExperimentResult, SetResult


class MeanReply(Reply):
    """The mean of one measure for one system, with its 95 % interval."""

    measure: str
    system: str
    mean: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class ComparisonReply(Reply):
    """The paired difference of a system to the baseline."""

    measure: str
    system: str
    difference: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    p_holm: FiniteFloat = Field(description="p-value, corrected after Holm over the systems of the measure")
    winner: str | None = Field(description="The better system; null where no difference was shown")

    @classmethod
    def of(cls, item: Comparison) -> Self:
        """Return the reply that says what `item` says."""
        keys = ("measure", "system", "difference", "low", "high", "p_holm", "winner")
        return cls(**{key: getattr(item, key) for key in keys})


class SetReply(Reply):
    """One data set."""

    name: str
    questions: int = Field(description="Questions that count", ge=0)
    left_out: dict[str, int] = Field(description="Questions that do not count, by reason")
    baseline: str
    means: list[MeanReply]
    comparisons: list[ComparisonReply]
    notes: list[str]

    @classmethod
    def of(cls, part: SetResult) -> Self:
        """Return the reply that says what `part` says."""
        means = [
            MeanReply(measure=measure, system=system, mean=mean, low=low, high=high)
            for measure, systems in part.intervals.items()
            for system, (mean, low, high) in systems.items()
        ]
        return cls(
            name=encodable(part.name),
            questions=len(part.counted),
            left_out=part.left_out,
            baseline=part.baseline,
            means=means,
            comparisons=[ComparisonReply.of(item) for item in part.comparisons],
            notes=[encodable(note) for note in part.notes],
        )


class EvalReply(Reply):
    """`ragkit eval run` and `ragkit eval score`."""

    name: str
    measures: list[str]
    sets: list[SetReply]
    files: list[str] = Field(description="What was written")

    @classmethod
    def of(cls, result: ExperimentResult, files: Sequence[Path]) -> Self:
        """Return the reply that says what `result` says."""
        return cls(
            name=result.name,
            measures=result.measures,
            sets=[SetReply.of(part) for part in result.sets],
            files=[encodable(str(file)) for file in files],
        )


class PointReply(Reply):
    """A system that passes on its `k` best chunks."""

    system: str
    k: int
    tokens: FiniteFloat
    recall: FiniteFloat


class TuneReply(Reply):
    """`ragkit eval tune`."""

    system: str
    config: dict[str, Any] = Field(description="The configuration, as it is written in YAML")
    measure: str
    mean: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    default: ComparisonReply | None = Field(description="Against ragkit's defaults; null if these are the defaults")
    k: int
    mean_tokens: FiniteFloat
    milliseconds: FiniteFloat
    chunks: int
    index_seconds: FiniteFloat
    searched_on: int = Field(description="Questions that the search used")
    held_out: int = Field(description="Questions that quality was measured on and the search did not use; 0: none")
    front: list[PointReply] = Field(description="Recall against retrieved tokens, cheapest first")
    notes: list[str]

    @classmethod
    def of(cls, found: Tuned) -> Self:
        """Return the reply that says what `found` says."""
        mean, low, high = found.quality
        keys = ("system", "measure", "k", "mean_tokens", "milliseconds", "chunks", "index_seconds")
        return cls(
            **{key: getattr(found, key) for key in (*keys, "searched_on", "held_out")},
            config=found.content,
            mean=mean,
            low=low,
            high=high,
            default=None if found.default is None else ComparisonReply.of(found.default),
            front=[
                PointReply(system=point.system, k=point.k, tokens=point.tokens, recall=point.quality)
                for point in found.front
            ],
            notes=[encodable(note) for note in found.notes],
        )
