"""Which questions the browser of single queries holds: all, or in a large experiment some of each data set."""

from __future__ import annotations

import numpy as np

from ragkit.eval.results import ExperimentResult, QueryRecord, SetResult

MOST_LISTS = 40_000
"""Questions times systems that one page holds; with more, each data set shows `SAMPLED` questions."""

SAMPLED = 60


def chosen_questions(result: ExperimentResult, measure: str) -> list[list[QueryRecord]]:
    """Return the questions of each data set that the page shows, in the order of the set.

    They are all, or of each set at most `SAMPLED`: half of them those on which the systems differ most in `measure`,
    half drawn at random by the experiment's seed.
    """
    lists = sum(len(one.queries) * len(one.runs) for one in result.sets)
    if lists <= MOST_LISTS:
        return [one.queries for one in result.sets]
    return [_some(one, measure, result.seed + place) for place, one in enumerate(result.sets)]


def _some(one: SetResult, measure: str, seed: int) -> list[QueryRecord]:
    if len(one.queries) <= SAMPLED:
        return one.queries
    # the order at random decides between questions of one spread, and then draws the other half
    order = np.random.default_rng(seed).permutation(len(one.queries)).tolist()
    spreads = _spreads(one, measure)
    widest = sorted(order, key=lambda place: -spreads.get(one.queries[place].query_id, 0.0))[: SAMPLED // 2]
    drawn = [place for place in order if place not in set(widest)]
    return [one.queries[place] for place in sorted([*widest, *drawn[: SAMPLED - len(widest)]])]


def _spreads(one: SetResult, measure: str) -> dict[str, float]:
    """Return the difference between the best and the worst system for each counted question."""
    columns = [run.scores[measure].array for run in one.runs if measure in run.scores]
    if not columns:
        return {}
    spread = np.ptp(np.array(columns), axis=0).tolist()
    return dict(zip(one.counted_for(measure), spread, strict=True))
