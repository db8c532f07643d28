"""What an experiment leaves behind: everything a report needs, and everything to score it again with no model.

Stored as one JSON file (compressed), read and written by pydantic, so a report never depends on how it was run.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator

from ragkit.eval.columns import Values
from ragkit.eval.hits import HitsByQuery, Span, SystemHits

__all__ = [
    "AnswerRecord", "BoundaryRun", "Call", "Comparison", "Curve", "CurvePoint", "ExperimentResult", "Judged",
    "MatchedDensity", "Model", "ModelRecord", "QueryRecord", "SegmentationResult", "SetResult", "Span", "Spent",
    "SystemHits", "SystemRun",
]  # fmt: skip


class Model(BaseModel):
    """Base of all result records: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class ModelRecord(Model):
    """A model that wrote or judged answers, and its price in dollars per million tokens, if it has one."""

    name: str
    fingerprint: str
    price: tuple[float, float] | None = None
    """Of prompt and reply; None: not priced."""


class Call(Model):
    """What a model was asked for one answer: one prompt, or with a controller those of all its rounds."""

    prompt_tokens: int
    reply_tokens: int
    seconds: float
    """The mean over its batch; what it once took where a cache answered."""
    calls: int = 1
    rounds: int = 1
    """Of a controller."""


class Judged(Model):
    """What the judge said about one answer for one task; `failure` says why that cannot be read."""

    reply: str
    failure: str = ""
    call: Call | None = None
    """None where the judge was not asked: the prompt did not fit."""


class AnswerRecord(Model):
    """What one system answered to one question."""

    text: str | None
    """With citation markers; None where there is no answer: nothing was retrieved, or `failure`."""
    plain: str = ""
    """Without markers: what is compared with gold answers."""
    reply: str = ""
    """As the model gave it."""
    citations: list[tuple[str, int, int]] = []
    """Document, start and end of each cited span, by marker."""
    unsupported: list[str] = []
    """Sentences for which no span was found."""
    shown: list[int] = []
    """Places in the list of hits of those that the prompt showed, best first."""
    failure: str = ""
    """Why the model was not asked."""
    call: Call | None = None
    similarity: float | None = None
    """Cosine with the nearest gold answer, where a measure needs it."""
    judged: dict[str, Judged] = {}
    """Task of the judge -> what it said."""


class Spent(Model):
    """What model calls cost in all, none of them answered from a cache: what it would take to do it again."""

    calls: int = 0
    from_cache: int = 0
    """How many of the calls were answered from a cache in this run."""
    prompt_tokens: int = 0
    reply_tokens: int = 0
    seconds: float = 0.0
    """Calls that ran at the same time add up."""
    dollars: float | None = None
    """None: not priced."""


class SystemRun(Model):
    """One system on one data set: its hits, answers, per-query scores and costs."""

    system: str
    chunks: int
    mean_chunk_tokens: float
    unmapped: int = 0
    """Pieces of a peer that could not be mapped to spans."""
    boundaries: dict[str, list[Span]]
    """Document id -> spans of its chunks."""
    hits: HitsByQuery
    """Query id -> what was returned."""
    scores: dict[str, Values]
    """Measure as written -> value per counted query, aligned with `SetResult.counted_for(measure)`."""
    index_seconds: float
    context: str = "index"
    """Where its sources come from: "index", "none", or "oracle" (the gold evidence)."""
    embedded: int | None = None
    """Chunks whose vectors were computed in the run that built the index; None where that is not known."""
    cached_vectors: int = 0
    """Chunks whose vectors came from a cache then: with any, `index_seconds` says little."""
    cost: dict[str, Spent] = {}
    """"answers", "judge", "index" -> what its language-model calls cost."""
    language_model: ModelRecord | None = None
    """What wrote the answers."""
    answers: dict[str, AnswerRecord] = {}
    """Query id -> the answer, in experiments with answers."""


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
    targets: list[str] = []
    """What an attacker wants to be said."""


class SetResult(Model):
    """All systems on one data set."""

    name: str
    fingerprint: str
    documents: dict[str, str]
    """Document id -> text; only those that a report shows (evidence or hits)."""
    queries: list[QueryRecord]
    counted: list[str]
    """Query ids that scores cover: those with evidence; in an experiment over answers alone, those with answers."""
    counted_by: dict[str, list[str]] = {}
    """Measure -> query ids that its scores cover, where these are not `counted`."""
    left_out: dict[str, int]
    """Reason -> number of queries left out of `counted`."""
    unjudged: dict[str, dict[str, int]] = {}
    """Measure -> system -> answers that the judge's reply gives no score for; they are in no system's mean."""
    runs: list[SystemRun]
    intervals: dict[str, dict[str, tuple[float, float, float]]]
    """Measure -> system -> (mean, low, high)."""
    comparisons: list[Comparison]
    baseline: str = ""
    """The system that the others were compared with on this set."""
    notes: list[str] = []
    """What a reader of the figures should know, such as a budget that the retrieved chunks did not fill."""
    poisoned: list[str] = []
    """Ids of the documents that an attacker wrote, of those that any system kept or turned out."""

    @model_serializer(mode="wrap")
    def _shared(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the record with query ids once, and the boundaries of equal chunkers by the place of the first run."""
        content: dict[str, Any] = write(self)
        ids = [record.query_id for record in self.queries]
        first: list[dict[str, list[Span]]] = []
        for place, (run, own) in enumerate(zip(self.runs, content["runs"], strict=True)):
            if list(run.hits.ids) == ids:
                own["hits"]["ids"] = []
            earlier = next((at for at, other in enumerate(first) if other == run.boundaries), place)
            if earlier < place:
                own["boundaries"] = {"": earlier}
            first.append(run.boundaries)
        return content

    @model_validator(mode="before")
    @classmethod
    def _unshared(cls, content: Any) -> Any:
        """Return what `_shared` wrote with everything in its place; leave anything else to the checks of the fields."""
        try:
            ids = [record["query_id"] for record in content["queries"]]
            for run in content["runs"]:
                run["hits"]["ids"] = run["hits"]["ids"] or ids
                place = run["boundaries"].get("")
                if isinstance(place, int):
                    run["boundaries"] = content["runs"][place]["boundaries"]
        except (KeyError, TypeError, IndexError, AttributeError):
            pass
        return content

    def counted_for(self, measure: str) -> list[str]:
        """Return the ids of the queries that the scores of `measure` cover."""
        return self.counted_by.get(measure, self.counted)


class BoundaryRun(Model):
    """What one chunker did on a segmentation set; scores are aligned with `SegmentationResult.counted`."""

    system: str
    cut_by: list[str]
    """The experiment's systems that cut so: they differ in what comes after the chunker."""
    chunks: int
    mean_chunk_tokens: float
    unmapped: int = 0
    """Pieces of a peer that could not be mapped to spans."""
    boundaries: dict[str, list[int]]
    """Document id -> positions between units."""
    predicted: int
    """Starts of chunks but the first, over all counted documents."""
    inside: int
    """Those that stood within a unit and were moved to its nearer end."""
    lost: int
    """Those that fell on the position of another one or on an end of the text."""
    density: list[float]
    """BOR of each counted document."""
    scores: dict[str, list[float]]
    spaced: dict[str, list[float]]
    """The scores of as many boundaries in each document, spaced equally."""
    drawn: dict[str, list[float]]
    """The mean scores of as many boundaries in each document, drawn at random."""
    seconds: float


class CurvePoint(Model):
    """One value of a chunker's option: its mean BOR, and by measure the means of it and of its baselines."""

    value: float
    density: float
    inside: float
    """Share of the predicted boundaries that stood within a unit."""
    means: dict[str, tuple[float, float, float]]
    spaced: dict[str, float]
    drawn: dict[str, float]


class Curve(Model):
    """Quality against boundary density for one chunker: the points in order of their density."""

    chunker: str
    option: str
    points: list[CurvePoint]


class MatchedDensity(Model):
    """All chunkers at one mean BOR, mixed from the two points of their curves around it."""

    density: float
    mixed: dict[str, tuple[float, float, float]]
    """Chunker -> the two values of its option, and the share of the second."""
    not_reached: list[str]
    baseline: str
    intervals: dict[str, dict[str, tuple[float, float, float]]]
    comparisons: list[Comparison]
    placements: list[Comparison]
    """Each chunker against as many boundaries of its own, equally spaced ("spaced") or at random ("random")."""


class SegmentationResult(Model):
    """All chunkers on one set of gold segments; values are per document, intervals over documents."""

    name: str
    fingerprint: str
    units: str
    sizes: dict[str, int]
    """Document id -> number of units."""
    gold: dict[str, list[int]]
    """Document id -> gold boundaries as positions between units."""
    gold_inside: int
    """Gold boundaries that stood within a unit: where it is not 0, the units are too coarse."""
    counted: list[str]
    left_out: dict[str, int]
    measures: list[str]
    runs: list[BoundaryRun]
    intervals: dict[str, dict[str, tuple[float, float, float]]]
    """Measure, or "BOR" -> system -> (mean, low, high)."""
    comparisons: list[Comparison]
    """Against `baseline`; no winner where the densities differ."""
    placements: list[Comparison]
    """Each system against as many boundaries of its own, equally spaced ("spaced") or at random ("random")."""
    baseline: str
    curves: list[Curve]
    matched: list[MatchedDensity]
    notes: list[str] = []


class ExperimentResult(Model):
    """One experiment: what was asked for, on what, and what came out; `version` is that of the records."""

    version: Literal[2] = 2
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
    judge: ModelRecord | None = None
    """What judged the answers."""
    rubric: str = ""
    """Version of what the judge was told."""
    segmentations: list[SegmentationResult] = []
