"""Bootstrap interval of a ratio of means, paired: what one system uses of what another one uses.

The ratio of the means, not the mean of the ratios: the first is what the same questions cost in all, and one question
for which the other system used next to nothing does not decide it. Both means are taken over the same resample
(Efron & Tibshirani 1993, section 10.5), with the expanded percentiles of `ragkit.eval.statistics.bootstrap`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ragkit.errors import UsageError
from ragkit.eval.statistics.bootstrap import RESAMPLES, SEED, Interval, expanded_tail, mean_interval, resampled_means
from ragkit.eval.statistics.compare import FEWEST_CLUSTERS
from ragkit.eval.statistics.values import numbered, paired, sums


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """What a system saves against a reference, and what that costs: over questions, and over documents if they allow.

    `ratio` is mean cost / mean cost of the reference, `loss` mean gain of the reference - mean gain of the system. The
    clustered intervals are None where there are fewer than 20 clusters or none were given.
    """

    ratio: Interval
    loss: Interval
    clustered_ratio: Interval | None = None
    clustered_loss: Interval | None = None

    def within(self, ratio: float, loss: float) -> bool:
        """Return whether all intervals end below `ratio` and `loss`."""
        ratios = [one.high for one in (self.ratio, self.clustered_ratio) if one is not None]
        losses = [one.high for one in (self.loss, self.clustered_loss) if one is not None]
        return max(ratios) < ratio and max(losses) < loss


def ratio_interval(
    values: ArrayLike,
    reference: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    names: tuple[str, str] = ("the system", "the reference"),
) -> Interval:
    """Return mean(`values`) / mean(`reference`) with its interval; both have one value, 0 or more, for each question.

    With `clusters` (the document of each question) whole clusters are resampled. Raises UsageError for values that are
    not finite or below 0, for arrays of different lengths, and where a resample holds only zeros of the reference.
    """
    over, under = paired(values, reference, names)
    for array, name in ((over, names[0]), (under, names[1])):
        if array.min() < 0:
            raise UsageError(
                f"The values of {name} hold {array.min():g}; a ratio of means needs values of 0 or more.",
                hint="Give amounts, such as tokens.",
            )
    single = mean_interval(over, clusters, level=level, resamples=resamples, seed=seed, name=names[0])
    group = np.arange(len(over)) if clusters is None else numbered(clusters, len(over))
    sizes = np.bincount(group).astype(np.float64)
    # the same seed draws the same resamples twice, which is what pairs them
    above, below = (
        resampled_means(sums(group, array), sizes, resamples, np.random.default_rng(seed)) for array in (over, under)
    )
    if not below.min() > 0:
        raise UsageError(
            f"{names[1]} has so many zeros that whole resamples hold nothing else; the ratio is not defined there.",
            hint="Compare with a system that returns something for most questions, or give more questions.",
        )
    tail = expanded_tail((1 - level) / 2, len(sizes))
    low, high = np.quantile(above / below, [tail, 1 - tail])
    estimate = float(over.mean() / under.mean())
    return Interval(estimate, float(low), float(high), level, single.units, single.over, resamples, seed)


def tradeoff(
    cost: ArrayLike,
    reference_cost: ArrayLike,
    gain: ArrayLike,
    reference_gain: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Tradeoff:
    """Return the paired ratio of costs and the paired loss of gain of a system against a reference.

    Costs are such as tokens used, gains such as recall. Raises what `ratio_interval` raises.
    """
    own, other = paired(gain, reference_gain, ("the system", "the reference"))
    paired(cost, gain, ("the costs", "the gains"))
    lost = other - own
    ratio = ratio_interval(cost, reference_cost, level=level, resamples=resamples, seed=seed)
    loss = mean_interval(lost, level=level, resamples=resamples, seed=seed, name="the loss")
    if clusters is None or len(set(clusters)) < FEWEST_CLUSTERS:
        return Tradeoff(ratio, loss)
    return Tradeoff(
        ratio,
        loss,
        ratio_interval(cost, reference_cost, clusters, level=level, resamples=resamples, seed=seed),
        mean_interval(lost, clusters, level=level, resamples=resamples, seed=seed, name="the loss"),
    )
