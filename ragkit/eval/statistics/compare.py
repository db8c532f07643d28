"""Two systems on the same queries: the difference, its intervals, a p-value, and a winner only where they allow one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from numpy.typing import ArrayLike

from ragkit.errors import UsageError
from ragkit.eval.statistics.bootstrap import RESAMPLES, SEED, Interval, mean_interval
from ragkit.eval.statistics.detectable import smallest_detectable_difference
from ragkit.eval.statistics.holm import holm
from ragkit.eval.statistics.permutation import permutation_p_value
from ragkit.eval.statistics.values import Floats, paired
from ragkit.plugins import suggestion

FEWEST_CLUSTERS = 20
"""Below so many documents a bootstrap over documents is too narrow to be shown."""

FEWEST_QUERIES = 10
"""Below so many queries no winner is declared: the percentile interval of a handful of values is too narrow."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """System a against system b; `difference` is mean a - mean b, `interval` its bootstrap over queries.

    `clustered` is the interval over documents, None where there are fewer than 20 or none were given. `p_value` is
    that of the paired permutation test (over documents where `clustered` is there), `adjusted_p_value` the same after
    Holm's correction, equal to it for a single comparison. `detectable` is the smallest detectable difference.
    """

    mean_a: float
    mean_b: float
    difference: float
    interval: Interval
    clustered: Interval | None
    p_value: float
    adjusted_p_value: float
    detectable: float
    queries: int
    lower_is_better: bool = False
    alpha: float = 0.05

    @property
    def winner(self) -> Literal["a", "b"] | None:
        """The better system, None unless every interval excludes zero and the adjusted p-value is below alpha."""
        if self.why_no_winner:
            return None
        return "a" if (self.difference > 0) != self.lower_is_better else "b"

    @property
    def why_no_winner(self) -> str:
        """What stands against declaring a winner; empty if nothing does."""
        if self.queries < FEWEST_QUERIES:
            return f"fewer than {FEWEST_QUERIES} queries"
        for interval in (self.interval, self.clustered):
            if interval is not None and interval.contains(0.0):
                return f"the interval over {interval.over} contains zero"
        if self.adjusted_p_value >= self.alpha:
            return f"p = {self.adjusted_p_value:.3g} after correction is not below {self.alpha:g}"
        return ""


@dataclass(frozen=True, slots=True)
class NamedComparison:
    """The comparison of the systems `a` and `b`, by name."""

    a: str
    b: str
    comparison: Comparison

    @property
    def winner(self) -> str | None:
        """The name of the better system, None where none may be declared."""
        return {"a": self.a, "b": self.b, None: None}[self.comparison.winner]


def compare(
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    names: tuple[str, str] = ("a", "b"),
    lower_is_better: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Return the comparison of two systems scored on the same queries, in the same order.

    `clusters` names the document of each query. Raises UsageError for scores that are missing or not finite (naming
    the system and the place) or of different number.
    """
    first, second = paired(scores_a, scores_b, names)
    differences: Floats = first - second
    documents = clusters if clusters is not None and len(set(clusters)) >= FEWEST_CLUSTERS else None
    interval = mean_interval(differences, level=level, resamples=resamples, seed=seed)
    clustered = None
    if documents is not None:
        clustered = mean_interval(differences, documents, level=level, resamples=resamples, seed=seed)
    p_value = permutation_p_value(differences, documents, permutations=resamples, seed=seed)
    alpha = 1 - level
    detectable = (
        smallest_detectable_difference(differences, documents, alpha=alpha) if len(differences) > 1 else float("inf")
    )
    return Comparison(
        mean_a=float(first.mean()),
        mean_b=float(second.mean()),
        difference=float(differences.mean()),
        interval=interval,
        clustered=clustered,
        p_value=p_value,
        adjusted_p_value=p_value,
        detectable=detectable,
        queries=len(differences),
        lower_is_better=lower_is_better,
        alpha=round(alpha, 12),
    )


def compare_all(
    scores: Mapping[str, ArrayLike],
    clusters: Sequence[Hashable] | None = None,
    *,
    baseline: str | None = None,
    lower_is_better: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[NamedComparison]:
    """Return the comparisons of all pairs of systems, or of each with `baseline`, p-values corrected after Holm.

    The intervals are not widened: each is a 95 % interval of its own; a winner needs the corrected p-value too.
    """
    if baseline is not None and baseline not in scores:
        raise UsageError(f"There are no scores of {baseline!r}.", hint=suggestion(baseline, list(scores)))
    if baseline is None:
        pairs = list(combinations(scores, 2))
    else:
        pairs = [(name, baseline) for name in scores if name != baseline]
    each = [
        compare(
            scores[a],
            scores[b],
            clusters,
            names=(a, b),
            lower_is_better=lower_is_better,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        for a, b in pairs
    ]
    corrected = holm([comparison.p_value for comparison in each])
    return [
        NamedComparison(a, b, replace(comparison, adjusted_p_value=p_value))
        for (a, b), comparison, p_value in zip(pairs, each, corrected, strict=True)
    ]
