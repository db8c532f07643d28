"""The JSON replies of `ragkit train corag-agent` and `ragkit train calibration`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, FiniteFloat

from ragkit.cli.reply import Reply
from ragkit.cli.text import encodable

if TYPE_CHECKING:
    from ragkit.train.agent_training import Trained
    from ragkit.train.calibration import Calibrated


class ChosenReply(Reply):
    """One way to choose settings, on held-out questions."""

    name: str = Field(description="agent, vote of neighbours, best single setting (also in hindsight), oracle")
    setting: str
    utility: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    quality: FiniteFloat = Field(description="The measure alone")
    tokens: FiniteFloat = Field(description="Mean tokens kept")


class AgentReply(Reply):
    """`ragkit train corag-agent`."""

    file: str
    trained_on: int = Field(description="Questions that the agent knows")
    held_out: int = Field(description="Questions that it was judged on")
    rule: str
    neighbours: int
    prior: FiniteFloat | None = Field(description="Weight of the average question; null: neighbours are not believed")
    default: dict[str, Any] = Field(description="The best single setting, which questions unlike all known ones get")
    rows: list[ChosenReply]
    difference: FiniteFloat = Field(description="Agent - best single setting, in utility")
    low: FiniteFloat
    high: FiniteFloat
    p_value: FiniteFloat
    wins: bool = Field(description="Whether the agent is shown to beat the best single setting")
    verdict: str
    fallbacks: int = Field(description="Held-out questions that got the default")
    used: dict[str, int] = Field(description="How often each setting was chosen")
    notes: list[str]

    @classmethod
    def of(cls, trained: Trained, path: Path) -> Self:
        """Return the reply that says what `trained` says."""
        file, result = trained.file, trained.result
        found = result.comparison
        rows = [
            ChosenReply(
                name=row.name,
                setting=row.setting,
                utility=row.utility[0],
                low=row.utility[1],
                high=row.utility[2],
                quality=row.quality,
                tokens=row.tokens,
            )
            for row in result.rows
        ]
        return cls(
            file=encodable(str(path)),
            trained_on=len(file.questions),
            held_out=result.questions,
            rule=file.rule,
            neighbours=file.neighbours,
            prior=file.prior,
            default=file.default.model_dump(),
            rows=rows,
            difference=found.difference,
            low=found.interval.low,
            high=found.interval.high,
            p_value=found.p_value,
            wins=result.wins,
            verdict=result.verdict(),
            fallbacks=result.fallbacks,
            used=dict(result.used),
            notes=[encodable(note) for note in trained.notes],
        )


class CalibrationReply(Reply):
    """`ragkit train calibration`."""

    file: str
    reranker: str
    trained_on: int = Field(description="Judged chunks of the questions that the calibration was fitted on")
    held_out: int = Field(description="Judged chunks of the other questions")
    points: int = Field(description="Points of the step function")
    relevant: FiniteFloat = Field(description="Share of relevant chunks among the held-out ones")
    brier: FiniteFloat = Field(description="Mean squared error of the calibrated scores there; lower is better")
    brier_constant: FiniteFloat = Field(description="That of always saying the share of the fitted chunks")
    brier_default: FiniteFloat | None = Field(description="That of the scale's own calibration; null: not in [0, 1]")
    difference: FiniteFloat = Field(description="Calibrated - constant")
    low: FiniteFloat
    high: FiniteFloat
    notes: list[str]

    @classmethod
    def of(cls, done: Calibrated, path: Path) -> Self:
        """Return the reply that says what `done` says."""
        result = done.result
        return cls(
            file=encodable(str(path)),
            reranker=done.reranker,
            trained_on=result.fitted,
            held_out=result.judged,
            points=len(done.calibration.scores),
            relevant=result.relevant,
            brier=result.brier,
            brier_constant=result.constant,
            brier_default=result.default,
            difference=result.difference.estimate,
            low=result.difference.low,
            high=result.difference.high,
            notes=[encodable(note) for note in done.notes],
        )


COMMANDS: dict[str, type[Reply]] = {"train corag-agent": AgentReply, "train calibration": CalibrationReply}
"""Every reply by the command it answers."""
