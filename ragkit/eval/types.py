"""What the harness compares: queries with evidence on one side, ranked spans on the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.schema import Document


@dataclass(frozen=True, slots=True)
class EvidenceSpan:
    """A gold span `[start, end)` of the document `doc_id`, in code points; `grade` is its relevance."""

    doc_id: str
    start: int
    end: int
    grade: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its gold answers and evidence.

    No evidence means unanswerable or not annotated: `answerable` tells which. `scope`, where present, is the one
    document that the question is asked of; retrieval is then scored within it. `level` says what the evidence is
    ("span", "sentence", "paragraph", "document", ...).
    """

    query_id: str
    question: str
    answers: tuple[str, ...] = ()
    evidence: tuple[EvidenceSpan, ...] = ()
    answerable: bool = True
    scope: str | None = None
    level: str = "span"
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvalSet:
    """A data set: documents by id, queries, and gold segment boundaries where it is a segmentation set.

    `dropped` says what the loader left out and why; `fingerprint` is the hash of the content.
    """

    name: str
    documents: Mapping[str, Document]
    queries: tuple[Query, ...]
    segments: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What a system returned for one query, best first: parallel arrays over the hits.

    `documents[i]` is the document id of hit i, `spans[i]` its `[start, end)`, `tokens[i]` its length in tokens of the
    evaluation tokenizer, `scores[i]` its score. `ranked` is False for selectors that return document order.
    """

    documents: tuple[str, ...]
    spans: NDArray[np.int64]
    tokens: NDArray[np.int64]
    scores: NDArray[np.float64]
    ranked: bool = True
