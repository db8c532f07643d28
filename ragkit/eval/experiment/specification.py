"""The experiment file: what is compared, on what, by which measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ragkit.errors import ConfigError
from ragkit.eval.experiment.lines import Lines, read_yaml
from ragkit.eval.experiment.segmentation_specification import SegmentationSpec, SweepSpec
from ragkit.eval.statistics.bootstrap import RESAMPLES
from ragkit.plugins import suggestion

MEASURES = (
    *("Recall@5", "Precision@5", "IoU@5"),
    *(f"{name}@tokens({budget})" for budget in (500, 1000, 2000) for name in ("Recall", "Precision", "IoU")),
    *("FullEvidence@5", "RR@10", 'nDCG(unit="documents")@10'),
)
"""What is measured if the file does not say."""


SourceOrder = Literal["best_last", "best_first", "document"]
"""The order of sources in a prompt: as a selector ranks them, either way, or as they stand in their documents."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceTrust(_Part):
    """How far the documents of a set are trusted, as metadata: for the option `trust` of selectors."""

    low: dict[str, Any] = Field(min_length=1)
    """Metadata of the documents with trust 0; all others have 1."""
    wrong: float = Field(default=0.0, ge=0, le=1)
    """Share of all documents, drawn by the experiment's seed, for which it is the other way round."""


class SetSpec(_Part):
    """A data set: what `ragkit.eval.datasets.load` takes, and what is made of it."""

    load: str
    name: str = ""
    sample: int | None = Field(default=None, ge=1)
    """So many of its questions, drawn by the experiment's seed; all documents stay."""
    chunk: bool = True
    """False: every document is one chunk."""
    segments: bool = False
    """Score the gold segments of a set that has questions too; a set without questions is always scored so."""
    leave_out: dict[str, Any] = Field(default_factory=dict)
    """Metadata key -> value, or a list of values: documents that have them all are not there, nor evidence in them."""
    questions: dict[str, Any] = Field(default_factory=dict)
    """Likewise for the meta of questions: only those that match are asked."""
    prefix_question: dict[str, Any] = Field(default_factory=dict)
    """Likewise for documents: they begin with the question whose id is their metadata `target_query`."""
    trust: SourceTrust | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"load": value} if isinstance(value, str) else value


class SystemSpec(_Part):
    """One system by name: its configuration over the common one."""

    name: str = Field(min_length=1)
    pipeline: dict[str, Any] = Field(default_factory=dict)
    budget_tokens: int | None = Field(default=None, ge=1)
    """In place of that of `answer`."""
    order: SourceOrder | None = None
    """In which the prompt shows what the selector kept; None: as `ragkit ask` does. Not with a controller."""


PartSpec = str | dict[str, Any]
"""A part as in a configuration: a name, or a name with options."""


class AnswerSpec(_Part):
    """How every system answers the questions, and who judges the answers."""

    model: PartSpec | None = None
    """Of the systems that name no `language_model` of their own: one word as for `ragkit ask --llm`, or a part."""
    max_tokens: int = Field(default=64, ge=1)
    budget_tokens: int | None = Field(default=None, ge=1)
    """Tokens (the answering model's) that the sources in a prompt may have; the model's window if not given."""
    judge: PartSpec | None = None
    """The model that judged measures ask."""
    max_unjudged: float = Field(default=0.1, ge=0, le=1)
    """Share of a system's answers that the judge may fail on before the run is an error."""
    embedder: PartSpec = "sentence_transformer"
    """Compares answers with gold answers (AnswerSimilarity, JudgedCorrectness); the same for all systems."""


class GridSpec(_Part):
    """Systems by crossing: every chunker at every size with every retriever and every selector."""

    chunkers: list[PartSpec] = Field(default_factory=list)
    """Parts as in a configuration, or `{peer: NAME}` for another library's chunker."""
    enrichers: list[PartSpec | list[PartSpec]] = Field(default_factory=list)
    """Each is an enricher, a list of them, or "none"; an empty list leaves those of the common configuration."""
    sizes: list[int] = Field(default_factory=list)
    retrievers: list[PartSpec] = Field(default=["hybrid"])
    """Besides parts: "none" answers without sources, "oracle" from the gold evidence."""
    selectors: list[PartSpec] = Field(default=["none"])
    """"none" is the retriever's list as it is."""


class Experiment(_Part):
    """An experiment file. `systems` and `grid` may both be given; a system is compared with `baseline`."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    sets: list[SetSpec] = Field(min_length=1)
    data: str = ""
    """Folder that relative paths of sets start from, itself relative to the experiment file."""
    seed: int = 0
    k: int = Field(default=50, ge=1)
    """How many chunks are retrieved for a question; budgets can only cut within them."""
    measures: list[str] = Field(default_factory=lambda: list(MEASURES), min_length=1)
    baseline: str = ""
    """Name of a system; the first one if not given."""
    tokenizer: str = "words"
    """Counts tokens for budgets and chunk lengths, the same for all systems: "words", or a model's tokenizer."""
    resamples: int = Field(default=RESAMPLES, ge=100)
    pipeline: dict[str, Any] = Field(default_factory=dict)
    """Configuration that all systems share."""
    systems: list[SystemSpec] = Field(default_factory=list)
    grid: GridSpec | None = None
    answer: AnswerSpec | None = None
    """Let every system answer every question, and score the answers."""
    segmentation: SegmentationSpec = SegmentationSpec()
    """How sets of gold segments are scored."""


INNER: Mapping[str, type[BaseModel]] = {
    "sets": SetSpec,
    "trust": SourceTrust,
    "systems": SystemSpec,
    "grid": GridSpec,
    "answer": AnswerSpec,
    "segmentation": SegmentationSpec,
    "sweeps": SweepSpec,
}


def read_experiment(path: Path) -> tuple[Experiment, Lines]:
    """Return the experiment in `path` and the lines of its parts.

    Raises ConfigError naming file, line and the nearest valid key.
    """
    content, lines = read_yaml(path)
    try:
        return Experiment.model_validate(content), lines
    except ValidationError as error:
        first = error.errors()[0]
    place = tuple(step for step in first["loc"] if step not in ("str", "dict[str,any]"))
    where = lines.where(place)
    if first["type"] == "extra_forbidden":
        known = [INNER[key] for key in map(str, place[:-1]) if key in INNER]
        valid = list((known or [Experiment])[-1].model_fields)
        wrong = str(place[-1])
        near = suggestion(wrong, valid)
        raise ConfigError(f"{where}: unknown key {wrong!r}.", hint=f"{near} Valid keys: {', '.join(valid)}.".lstrip())
    key = ".".join(map(str, place))
    raise ConfigError(f"{where}: {key or 'the file'}: {first['msg']}.", hint="Correct the value.")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration `base` with the parts of `over` in place of its own."""
    return {**base, **over}
