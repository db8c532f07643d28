"""From spans to relevance: which chunks and documents are relevant to a query, and how much.

A chunk is relevant if it covers at least `min_cover` of some reference, by default any of it; its grade is the best
grade of the references that it covers so (metrics.md 2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragkit.eval.metrics.geometry import Floats, Ints
from ragkit.eval.metrics.layout import Layout
from ragkit.eval.metrics.ranking import Pool, Ranking, positions

ROUNDING = 1e-9
"""Relative tolerance of cover x length, so that 0.3 of 10 characters are 3 of them."""


def covers(layout: Layout, gold: Ints, common: Ints, min_cover: float) -> NDArray[np.bool_]:
    """Return which overlaps are at least `min_cover` of the length of their gold span."""
    length = layout.gold.end[gold] - layout.gold.start[gold]
    return common >= min_cover * length * (1 - ROUNDING)


def best_grades(layout: Layout, hit: Ints, gold: Ints, common: Ints, *, min_cover: float) -> Floats:
    """Return the grade of every hit, 0 where it is not relevant or repeats a relevant one."""
    enough = covers(layout, gold, common, min_cover)
    grades = np.zeros(len(layout.hits.query), np.float64)
    np.maximum.at(grades, hit[enough], layout.grades[gold[enough]])
    relevant = np.flatnonzero(grades)
    hits = layout.hits
    columns = (hits.end[relevant], hits.start[relevant], hits.document[relevant], hits.query[relevant])
    order = np.lexsort((relevant, *columns))
    table = np.column_stack(columns)[order]
    repeated = np.flatnonzero((table[1:] == table[:-1]).all(axis=1)) + 1
    grades[relevant[order[repeated]]] = 0.0
    return grades


def chunk_pool(layout: Layout, gold: Ints, chunk: Ints, common: Ints, *, min_cover: float) -> Pool:
    """Return the relevant chunks of the corpus, from all overlaps of gold spans with chunks."""
    enough = covers(layout, gold, common, min_cover)
    gold, chunk = gold[enough], chunk[enough]
    width = int(chunk.max(initial=0)) + 1
    units, inverse = np.unique(layout.gold.query[gold] * width + chunk, return_inverse=True)
    grades = np.zeros(len(units), np.float64)
    np.maximum.at(grades, inverse, layout.grades[gold])
    return Pool.of(units // width, grades, layout.queries)


def gold_documents(layout: Layout) -> tuple[Ints, Ints, Floats]:
    """Return query, document and best grade of every document with evidence, in order of (query, document)."""
    width = max(len(layout.codes), 1)
    units, inverse = np.unique(layout.gold.query * width + layout.gold.document, return_inverse=True)
    grades = np.zeros(len(units), np.float64)
    np.maximum.at(grades, inverse, layout.grades)
    return units // width, units % width, grades


def first_documents(layout: Layout, kept: NDArray[np.bool_] | None) -> Ranking:
    """Return the ranking of documents: each where its first hit stands, later hits of it left out."""
    width = max(len(layout.codes), 1)
    query, document, grade = gold_documents(layout)
    key = layout.hits.query * width + layout.hits.document
    if kept is not None:
        key = key[kept]
    first = np.sort(np.unique(key, return_index=True)[1])
    key = key[first]
    wanted = query * width + document
    place = np.minimum(np.searchsorted(wanted, key), max(len(wanted) - 1, 0))
    grades = np.where(wanted[place] == key, grade[place], 0.0) if len(wanted) else np.zeros(len(key))
    position, returned = positions(key // width, layout.queries)
    return Ranking(key // width, position, grades, returned)
