"""What an answer costs: tokens in and out, dollars, seconds (metrics.md 7)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ragkit.budget import Price
from ragkit.errors import UsageError

__all__ = [
    "Call",
    "Cost",
    "Latency",
    "Phase",
    "Price",
    "cache_hit_share",
    "compression_ratio",
    "cost_efficiency",
    "dollars_per_query",
    "kept_share",
    "nearest_rank",
    "relative_efficiency",
    "total_cost",
]

Phase = Literal["index", "query"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a language model: every one counts, judges, rationales and contextualisers too."""

    purpose: str
    input_tokens: int
    output_tokens: int
    phase: Phase = "query"


@dataclass(frozen=True, slots=True)
class Cost:
    """Totals of some calls."""

    calls: int
    input_tokens: int
    output_tokens: int
    dollars: float

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens


def total_cost(calls: Iterable[Call], price: Price, phase: Phase) -> Cost:
    """Return the cost of the calls of one phase; index-time cost is kept apart from that of queries."""
    chosen = [call for call in calls if call.phase == phase]
    tokens_in, tokens_out = sum(call.input_tokens for call in chosen), sum(call.output_tokens for call in chosen)
    return Cost(len(chosen), tokens_in, tokens_out, price.dollars(tokens_in, tokens_out))


def dollars_per_query(calls: Sequence[Call], price: Price, queries: int) -> float:
    """Return the mean cost of a query, its share of the index-time cost included."""
    if queries < 1:
        raise UsageError(f"A cost per query over {queries} queries was asked for.", hint="Give at least one query.")
    return (total_cost(calls, price, "query").dollars + total_cost(calls, price, "index").dollars) / queries


def cost_efficiency(quality: float, cost: float) -> float:
    """Return quality / cost; raise UsageError for a cost that is not above 0."""
    if not cost > 0:
        raise UsageError(f"A cost of {cost} was given.", hint="Give a cost above 0.")
    return quality / cost


def relative_efficiency(systems: Sequence[tuple[float, float]]) -> list[float]:
    """Return the efficiency of each (quality, cost), over that of the best, which gets 1.

    >>> [round(value, 3) for value in relative_efficiency([(0.65, 140_699), (0.75, 104_939)])]
    [0.646, 1.0]
    """
    each = [cost_efficiency(quality, cost) for quality, cost in systems]
    best = max(each, default=0.0)
    if not best > 0:
        raise UsageError("No system has a quality above 0.", hint="Compare qualities and costs directly.")
    return [value / best for value in each]


def compression_ratio(before: int, after: int) -> float:
    """Return tokens before / tokens after; infinite if nothing was kept, 1 if there was nothing."""
    if after:
        return before / after
    return math.inf if before else 1.0


def kept_share(before: int, after: int) -> float:
    """Return tokens after / tokens before; 1 if there was nothing."""
    return after / before if before else 1.0


def nearest_rank(values: Sequence[float], percent: float) -> float:
    """Return the percentile that is one of the values: of 20, P95 is the 19th. Raise UsageError without values.

    >>> nearest_rank(range(1, 21), 95)
    19
    """
    if not len(values) or not 0 < percent <= 100 or any(math.isnan(value) for value in values):
        raise UsageError(
            f"P{percent:g} of {len(values)} values was asked for.",
            hint="Give at least one number, none of them NaN, and a percentage above 0, at most 100.",
        )
    # multiplied before it is divided: 0.95 x 20 is above 19 in floating point
    return sorted(values)[math.ceil(percent * len(values) / 100) - 1]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds at the median and the 95th percentile (nearest rank). Report warm and cold caches apart."""

    p50: float
    p95: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Return the percentiles of measured times; raise UsageError without any."""
        return cls(nearest_rank(seconds, 50), nearest_rank(seconds, 95), len(seconds))


def cache_hit_share(cached: Sequence[int], prompt: Sequence[int]) -> float:
    """Return the share of all prompt tokens that came out of the KV cache: tokens count, not prompts."""
    if len(cached) != len(prompt) or any(not 0 <= hit <= size for hit, size in zip(cached, prompt, strict=False)):
        raise UsageError(
            f"{len(cached)} counts of cached tokens and {len(prompt)} of prompt tokens were given.",
            hint="Give one of each for every prompt, the first from 0 to the second.",
        )
    return sum(cached) / sum(prompt) if sum(prompt) else 0.0
