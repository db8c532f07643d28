"""Scoring the boundaries of a result again by other measures: no chunker and no text is needed."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.errors import UsageError
from ragkit.eval.experiment.scoring import Judge
from ragkit.eval.experiment.segmentation_judging import compared, placements
from ragkit.eval.experiment.segmentation_scoring import Scorer
from ragkit.eval.metrics import Measure, parse
from ragkit.eval.metrics.evaluate import checked
from ragkit.eval.results import ExperimentResult, SegmentationResult


def divided(measures: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the measures of segments and all others; raise UsageError for one that does not exist."""
    of_segments = [text for text in measures if parse(text).declaration.family == "segmentation"]
    return of_segments, [text for text in measures if text not in of_segments]


def rescored_segmentations(result: ExperimentResult, measures: Sequence[str], judge: Judge) -> list[SegmentationResult]:
    """Return the segmentation sets of `result`, scored by `measures`, as they are if none are given.

    Raises UsageError for measures where there is no such set, and for BOR, which is always there.
    """
    if not measures:
        return result.segmentations
    if not result.segmentations or "BOR" in measures:
        raise UsageError(
            f"{measures[0]} cannot be scored on this result: "
            + ("BOR is always reported." if result.segmentations else "it holds no segmentation set."),
            hint="Leave it out.",
        )
    draws = int(result.experiment.get("segmentation", {}).get("draws", 10))
    wanted = checked(measures, "segmentation")
    return [rescored_segments(part, wanted, judge, draws) for part in result.segmentations]


def rescored_segments(
    part: SegmentationResult, measures: Sequence[Measure], judge: Judge, draws: int
) -> SegmentationResult:
    """Return `part` with its systems scored by `measures`; curves stay as they were: their boundaries are not kept."""
    scorer = Scorer(part.gold, part.sizes, draws=draws, seed=judge.seed)
    found = {run.system: scorer.scored(run.boundaries, measures) for run in part.runs}
    means, comparisons = compared(judge, found, measures, part.baseline)
    runs = [
        run.model_copy(
            update={
                "density": found[run.system].density,
                "scores": found[run.system].own,
                "spaced": found[run.system].spaced,
                "drawn": found[run.system].drawn,
            }
        )
        for run in part.runs
    ]
    return part.model_copy(
        update={
            "measures": [str(measure) for measure in measures],
            "runs": runs,
            "intervals": means,
            "comparisons": comparisons,
            "placements": placements(judge, found, measures),
        }
    )
