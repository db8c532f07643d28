"""In words which measures count other questions than a set's first ones, and how many answers were not judged."""

from __future__ import annotations

from ragkit.eval.results import SetResult


def counted_otherwise(part: SetResult) -> list[str]:
    """Return a sentence for each group of measures with questions of its own, and for answers without a judgement."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for measure, ids in part.counted_by.items():
        groups.setdefault(tuple(ids), []).append(measure)
    found = [f"{', '.join(measures)}: {len(ids):,} questions count." for ids, measures in groups.items()]
    for measure, systems in part.unjudged.items():
        counts = ", ".join(f"{count} of {system}" for system, count in systems.items())
        found.append(f"{measure}: answers without a score by the judge, whose questions are in no mean: {counts}.")
    return found
