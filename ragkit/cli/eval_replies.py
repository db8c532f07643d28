"""The JSON replies of `ragkit eval`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, FiniteFloat

from ragkit.cli.reply import Reply
from ragkit.cli.text import encodable

if TYPE_CHECKING:
    from ragkit.eval.experiment.tuning import Tuned
    from ragkit.eval.results import Comparison, ExperimentResult, SegmentationResult, SetResult


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


class CostReply(Reply):
    """What the language-model calls of a system for one purpose cost, as if no cache had answered."""

    system: str
    purpose: str = Field(description="answers, index or judge")
    model: str = Field(description="The language model; empty for the index, which may use several")
    calls: int = Field(ge=0)
    from_cache: int = Field(description="Calls that a cache answered in this run", ge=0)
    prompt_tokens: int = Field(ge=0)
    reply_tokens: int = Field(ge=0)
    seconds: FiniteFloat = Field(description="Of the model; calls that ran at the same time add up", ge=0)
    dollars: FiniteFloat | None = Field(description="null: the model has no price")


class SetReply(Reply):
    """One data set."""

    name: str
    questions: int = Field(description="Questions that count for retrieval, else for the first measure", ge=0)
    questions_by: dict[str, int] = Field(description="Questions that count for measures that count others, by measure")
    left_out: dict[str, int] = Field(description="Questions that do not count, by reason")
    baseline: str
    means: list[MeanReply]
    comparisons: list[ComparisonReply]
    unjudged: dict[str, dict[str, int]] = Field(
        description="By measure and system the answers that the judge gave no score for; no mean holds their questions"
    )
    costs: list[CostReply]
    notes: list[str]

    @classmethod
    def of(cls, part: SetResult, judge: str = "") -> Self:
        """Return the reply that says what `part` says; `judge` is the name of the judging model."""
        means = [
            MeanReply(measure=measure, system=system, mean=mean, low=low, high=high)
            for measure, systems in part.intervals.items()
            for system, (mean, low, high) in systems.items()
        ]
        return cls(
            name=encodable(part.name),
            questions=len(part.counted),
            questions_by={measure: len(ids) for measure, ids in part.counted_by.items()},
            left_out=part.left_out,
            baseline=part.baseline,
            means=means,
            comparisons=[ComparisonReply.of(item) for item in part.comparisons],
            unjudged=part.unjudged,
            costs=[
                CostReply(
                    system=run.system,
                    purpose=purpose,
                    model={"answers": run.language_model.name if run.language_model else "", "judge": judge}.get(
                        purpose, ""
                    ),
                    **spent.model_dump(),
                )
                for run in part.runs
                for purpose, spent in run.cost.items()
            ],
            notes=[encodable(note) for note in part.notes],
        )


class SegmentationReply(Reply):
    """One set of gold segments; the means hold BOR too, predicted / gold boundaries."""

    name: str
    documents: int = Field(description="Documents that count", ge=0)
    left_out: dict[str, int] = Field(description="Documents that do not count, by reason")
    units: str = Field(description="What boundaries stand between: lines or sentences")
    baseline: str
    means: list[MeanReply]
    comparisons: list[ComparisonReply] = Field(description="Winners only where mean BORs are within 10 %")
    notes: list[str]

    @classmethod
    def of(cls, part: SegmentationResult) -> Self:
        """Return the reply that says what `part` says."""
        means = [
            MeanReply(measure=measure, system=system, mean=mean, low=low, high=high)
            for measure, systems in part.intervals.items()
            for system, (mean, low, high) in systems.items()
        ]
        return cls(
            name=encodable(part.name),
            documents=len(part.counted),
            left_out=part.left_out,
            units=part.units,
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
    segmentations: list[SegmentationReply]
    files: list[str] = Field(description="What was written")

    @classmethod
    def of(cls, result: ExperimentResult, files: Sequence[Path]) -> Self:
        """Return the reply that says what `result` says."""
        return cls(
            name=result.name,
            measures=result.measures,
            sets=[SetReply.of(part, "" if result.judge is None else result.judge.name) for part in result.sets],
            segmentations=[SegmentationReply.of(part) for part in result.segmentations],
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
