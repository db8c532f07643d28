"""Relevance of ranked units: for every hit its grade, and for every query the grades of the whole judged pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ragkit.eval.metrics.geometry import Floats, Ints, totals


@dataclass(frozen=True, slots=True)
class Pool:
    """The relevant units of the collection: the query and the grade of each, best first within a query."""

    query: Ints
    grade: Floats
    size: Ints
    """Relevant units per query, shape (queries,)."""

    @classmethod
    def of(cls, query: Ints, grade: Floats, queries: int) -> Pool:
        """Return the pool in order."""
        order = np.lexsort((-grade, query))
        return cls(query[order], grade[order], np.bincount(query, minlength=queries))


@dataclass(frozen=True, slots=True)
class Ranking:
    """Units in rank order within each query: `position` from 0, `grade` 0 where not relevant.

    `returned` is the number of units per query. A unit that was returned twice is relevant at its first place only.
    """

    query: Ints
    position: Ints
    grade: Floats
    returned: Ints

    @property
    def queries(self) -> int:
        """How many queries there are."""
        return len(self.returned)

    @property
    def relevant(self) -> Ints:
        """Relevant units per query."""
        return np.bincount(self.query[self.grade > 0], minlength=self.queries)

    def sum(self, values: Ints | Floats) -> Floats:
        """Return the sum per query of one value for each unit."""
        return totals(self.query, values, self.queries)


def positions(query: Ints, queries: int) -> tuple[Ints, Ints]:
    """Return each row's place within its query, from 0, and the rows per query; the rows are in order of query."""
    sizes = np.bincount(query, minlength=queries)
    return np.arange(len(query)) - (np.cumsum(sizes) - sizes)[query], sizes


def running(values: Ints, query: Ints, queries: int) -> Ints:
    """Return the running sum within each query, the row itself included."""
    total = np.concatenate((np.zeros(1, values.dtype), np.cumsum(values)))
    sizes = np.bincount(query, minlength=queries)
    sums: Ints = total[1:] - total[(np.cumsum(sizes) - sizes)[query]]
    return sums


def discount(position: Ints) -> Floats:
    """Return 1 / log2(rank + 1), the rank being position + 1."""
    weights: Floats = 1.0 / np.log2(position + 2.0)
    return weights
