"""What an experiment leaves behind: everything a report needs, and everything to score it again with no model.

Stored as one JSON file (compressed), read and written by pydantic, so a report never depends on how it was run.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

Span = tuple[int, int]


class Model(BaseModel):
    """Base of all result records: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SystemHits(Model):
    """What one system returned for one query, best first."""

    documents: list[str]
    spans: list[Span]
    tokens: list[int]
    scores: list[float]
    seconds: float
    """Time of search and selection; embedding the question is not in it."""
    ranked: bool = True
    """False for selectors that return document order."""
    answer: str | None = None


class SystemRun(Model):
    """One system on one data set: its hits, per-query scores and costs."""

    system: str
    chunks: int
    mean_chunk_tokens: float
    unmapped: int = 0
    """Pieces of a peer that could not be mapped to spans."""
    boundaries: dict[str, list[Span]]
    """Document id -> spans of its chunks."""
    hits: dict[str, SystemHits]
    """Query id -> what was returned."""
    scores: dict[str, list[float]]
    """Measure as written -> value per counted query, aligned with `SetResult.counted`."""
    index_seconds: float
    cost: dict[str, float] = {}
    """Unit ("prompt tokens", "dollars", ...) -> total."""


class Comparison(Model):
    """The paired difference of a system to the baseline, with its interval; a winner only if 0 lies outside."""

    measure: str
    system: str
    baseline: str
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float
    detectable: float
    winner: str | None
    clustered: Span | tuple[float, float] | None = None
    """Interval over documents instead of queries, where there are 20 or more."""


class QueryRecord(Model):
    """A question as the report shows it."""

    query_id: str
    question: str
    answers: list[str]
    evidence: list[tuple[str, int, int]]
    grades: list[float] = []
    """Relevance of each evidence span; all 1 if empty."""
    answerable: bool = True
    scope: str | None


class SetResult(Model):
    """All systems on one data set."""

    name: str
    fingerprint: str
    documents: dict[str, str]
    """Document id -> text; only those that a report shows (evidence or hits)."""
    queries: list[QueryRecord]
    counted: list[str]
    """Query ids that scores cover: those with evidence."""
    left_out: dict[str, int]
    """Reason -> number of queries left out of the means."""
    runs: list[SystemRun]
    intervals: dict[str, dict[str, tuple[float, float, float]]]
    """Measure -> system -> (mean, low, high)."""
    comparisons: list[Comparison]
    baseline: str = ""
    """The system that the others were compared with on this set."""
    notes: list[str] = []
    """What a reader of the figures should know, such as a budget that the retrieved chunks did not fill."""


class ExperimentResult(Model):
    """One experiment: what was asked for, on what, and what came out."""

    name: str
    created: str
    machine: str
    code_version: str
    experiment: dict[str, Any]
    """The resolved experiment file."""
    measures: list[str]
    baseline: str
    seed: int
    sets: list[SetResult]
