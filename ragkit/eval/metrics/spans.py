"""The sums from which every span metric follows: per query, how much was retrieved, how much of it is gold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ragkit.eval.metrics.geometry import Cover, Floats, Ints, merged, new_parts, totals


@dataclass(frozen=True, slots=True)
class Gold:
    """Merged references on one axis, in order: the query of each, and the total length by query."""

    query: Ints
    cover: Cover
    total: Floats

    @classmethod
    def of(cls, query: Ints, starts: Ints, ends: Ints, queries: int) -> Gold:
        """Return the merged references; `starts` and `ends` lie on lines of their own for each query."""
        order = np.argsort(starts, kind="stable")
        starts, ends, group = merged(starts[order], ends[order])
        owner = np.zeros(len(starts), np.int64)
        owner[group] = query[order]
        return cls(owner, Cover.of(starts, ends), totals(owner, ends - starts, queries))

    @property
    def lengths(self) -> Ints:
        """The length of each merged reference."""
        return self.cover.ends - self.cover.starts


@dataclass(frozen=True, slots=True)
class SpanSums:
    """Lengths per query, in units of the axis, in the notation of metrics.md 1.1.

    `inside` is I, the gold that lies in the union of the retrieved spans; `retrieved` counts repeats (the sum of
    |r|), `union` does not; `gold` is the merged references. `found` is the covered length of each merged reference.
    """

    inside: Floats
    retrieved: Floats
    union: Floats
    gold: Floats
    found: Ints
    references: Gold


@dataclass(frozen=True, slots=True)
class SortedSpans:
    """Spans in order of start on the axis, with their query and where each stood before sorting."""

    query: Ints
    starts: Ints
    ends: Ints
    origin: Ints

    @classmethod
    def of(cls, query: Ints, starts: Ints, ends: Ints) -> SortedSpans:
        """Return the spans sorted, which is done once for all cut-offs."""
        order = np.argsort(starts, kind="stable")
        return cls(query[order], starts[order], ends[order], order)

    def sums(self, gold: Gold, kept: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None) -> SpanSums:
        """Return the sums over the spans whose original place is marked in `kept`, over all without it."""
        query, starts, ends = self.query, self.starts, self.ends
        if kept is not None:
            chosen = np.flatnonzero(kept[self.origin])
            query, starts, ends = query[chosen], starts[chosen], ends[chosen]
        queries = len(gold.total)
        retrieved = totals(query, ends - starts, queries)
        parts = new_parts(starts, ends)
        real = np.flatnonzero(parts < ends)
        query, starts, ends = query[real], parts[real], ends[real]
        found = Cover.of(starts, ends).within(gold.cover.starts, gold.cover.ends)
        return SpanSums(
            inside=totals(gold.query, found, queries),
            retrieved=retrieved,
            union=totals(query, ends - starts, queries),
            gold=gold.total,
            found=found,
            references=gold,
        )
