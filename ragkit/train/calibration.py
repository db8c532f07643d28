"""An isotonic calibration of a reranker learnt from a data set: what share of the chunks that score alike is relevant.

Fitted on one part of the questions, judged on the other by the Brier score (Brier 1950): the mean squared difference of
the calibrated score and 1 for a relevant chunk, 0 for any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.config import PartConfig
from ragkit.errors import StorageError, UsageError
from ragkit.eval.datasets import sample, split
from ragkit.eval.experiment.indexes import built, corpus_fingerprint
from ragkit.eval.experiment.orders import order_of
from ragkit.eval.experiment.retrieval import within
from ragkit.eval.experiment.scoring import asked_of
from ragkit.eval.experiment.specification import GridSpec
from ragkit.eval.experiment.systems import System, grid_systems
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.statistics import Interval, mean_interval
from ragkit.eval.types import EvalSet, Query
from ragkit.parts import make_reranker
from ragkit.pipeline import Pipeline
from ragkit.protocols import Reranker
from ragkit.schema import Chunk
from ragkit.scoring.calibration import BY_SCALE, Isotonic
from ragkit.scoring.named import make_calibration
from ragkit.scoring.order import finite
from ragkit.train.apart import repeated_in_each, said

COVER = 0.5
"""A chunk is relevant if it holds this share of an evidence span, or this share of it lies in one."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """The scores of one question's chunks and whether each is relevant."""

    document: str
    scores: Floats
    relevant: Floats


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """Brier scores on held-out questions: calibrated, always the fitted share, and by the scale's own calibration.

    `default` is None where that does not map onto [0, 1]. `difference` is calibrated - constant, over questions.
    """

    fitted: int
    judged: int
    relevant: float
    brier: float
    constant: float
    default: float | None
    difference: Interval


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibration, the reranker it belongs to, what it came from and how good it is on held-out questions."""

    calibration: Isotonic
    reranker: str
    sources: tuple[Mapping[str, Any], ...]
    result: CalibrationResult
    notes: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write what `calibration: {name: isotonic, path: FILE}` reads; raise StorageError where that fails."""
        found = self.result
        content = {
            "scores": self.calibration.scores,
            "values": self.calibration.values,
            "scorer": self.calibration.scorer,
            "reranker": self.reranker,
            "data": [dict(one) for one in self.sources],
            "evaluation": {"judged": found.judged, "relevant": found.relevant, "brier": found.brier,
                           "brier_constant": found.constant, "brier_default": found.default},
        }  # fmt: skip
        part = path.with_name(f"{path.name}.part")
        try:
            part.write_text(json.dumps(content) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}.", hint="Choose another file with --out.") from error


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """What is calibrated, over which index, on how many chunks a question and which part of the questions."""

    reranker: PartConfig
    base: Mapping[str, Any]
    candidates: int = 20
    share: float = 0.7
    sample: int | None = None
    seed: int = 0


def train_calibration(workshop: Workshop, evalsets: Sequence[EvalSet], plan: CalibrationPlan) -> Calibrated:
    """Return the calibration of `plan.reranker` on the retrieved chunks of one part of the questions of `evalsets`.

    Raises UsageError where no question has evidence, or no chunk of the learning part is relevant.
    """
    rest = {key: value for key, value in plan.base.items() if key not in ("selector", "controller")}
    (system,) = grid_systems(GridSpec(retrievers=[rest.get("retriever", "hybrid")]), rest)
    embedder = workshop.embedder(system.config)
    reranker = make_reranker(plan.reranker, lambda: embedder)
    first: list[Judged] = []
    second: list[Judged] = []
    sources = []
    halves, notes = _halves(evalsets, plan)
    for evalset, parts in zip(evalsets, halves, strict=True):
        with _open(workshop, evalset, system) as pipeline:
            judged = [list(_judged(pipeline, part, reranker, plan.candidates, workshop)) for part in parts]
        first, second = first + judged[0], second + judged[1]
        sources.append({"name": evalset.name, "fingerprint": evalset.fingerprint, "questions": len(judged[0])})
    scores, relevant = _flat(first)
    if not len(scores) or not relevant.any() or not second:
        raise UsageError(
            f"{len(scores)} chunks were judged, {int(relevant.sum())} of them relevant; expected some of both.",
            hint="Give more questions with evidence, or retrieve more chunks (-k).",
        )
    fitted = Isotonic.fit(scores.tolist(), relevant.tolist())
    calibration = Isotonic(fitted.scores, fitted.values, reranker.fingerprint)
    result = _result(calibration, reranker, first, second, plan.seed)
    return Calibrated(calibration, reranker.name, tuple(sources), result, tuple(notes))


def _halves(evalsets: Sequence[EvalSet], plan: CalibrationPlan) -> tuple[list[tuple[EvalSet, EvalSet]], list[str]]:
    """Return of each set the part to learn from and the part to judge on, and what is to be known about them."""
    found: list[tuple[EvalSet, EvalSet]] = []
    notes = []
    for evalset in evalsets:
        drawn = evalset if plan.sample is None else sample(evalset, plan.sample, plan.seed)
        try:
            found.append(split(drawn, plan.seed, plan.share))
        except UsageError:
            found.append(split(drawn, plan.seed, plan.share, by="queries"))
            notes.append(f"{evalset.name}: the two parts of the questions share documents")
    out = repeated_in_each([(learn, learn.queries, judge.queries) for learn, judge in found])
    notes += [f"{one.name}: {said(len(ids))}" for one, ids in zip(evalsets, out, strict=True) if ids]
    kept = [
        (replace(learn, queries=tuple(query for query in learn.queries if query.query_id not in ids)), judge)
        for (learn, judge), ids in zip(found, out, strict=True)
    ]
    return kept, notes


def is_relevant(chunk: Chunk, query: Query) -> bool:
    """Return whether `chunk` holds half of an evidence span of `query`, or half of it lies in one."""
    for span in query.evidence:
        if span.doc_id != chunk.doc_id or span.grade <= 0:
            continue
        common = min(span.end, chunk.end) - max(span.start, chunk.start)
        if common > 0 and common >= COVER * min(span.end - span.start, chunk.end - chunk.start):
            return True
    return False


def _open(workshop: Workshop, evalset: EvalSet, system: System) -> Pipeline:
    """Return the pipeline on the index of `evalset`, which is built if there is none."""
    order = order_of(workshop, system, corpus_fingerprint(evalset), vectors=True)
    characters = sum(len(document.text) for document in evalset.documents.values())
    report = workshop.stage(f"indexing {evalset.name}", characters)
    pipeline = Pipeline(built(workshop, system, evalset, order, report=report).folder, system.config)
    pipeline.embedder = workshop.embedder(system.config)
    return pipeline


def _judged(
    pipeline: Pipeline, part: EvalSet, reranker: Reranker, candidates: int, workshop: Workshop
) -> Iterator[Judged]:
    """Yield the scored chunks of each question of `part` that is answerable and has evidence."""
    asked = [query for query in part.queries if query.answerable and query.evidence]
    advance = workshop.stage(f"scoring {part.name}", len(asked))
    pipeline.embedder.embed_queries([query.question for query in asked])
    for query in asked:
        where = None if query.scope is None else within(query.scope)
        hits = pipeline.retrieve(query.question, candidates, where=where)
        advance(1)
        if not hits:
            continue
        texts = [hit.chunk.index_text for hit in hits]
        scores = finite(reranker.score(query.question, texts), f"scores of {reranker.name}", len(texts))
        relevant = np.array([is_relevant(hit.chunk, query) for hit in hits], np.float64)
        yield Judged(f"{part.name}/{asked_of(query)}", scores, relevant)


def _flat(judged: Sequence[Judged]) -> tuple[Floats, Floats]:
    if not judged:
        return np.zeros(0), np.zeros(0)
    return np.concatenate([one.scores for one in judged]), np.concatenate([one.relevant for one in judged])


def _result(
    calibration: Isotonic, reranker: Reranker, first: Sequence[Judged], second: Sequence[Judged], seed: int
) -> CalibrationResult:
    share = float(_flat(first)[1].mean())
    scores, relevant = _flat(second)
    own = make_calibration(getattr(reranker, "calibration", None) or BY_SCALE[reranker.scale].name, reranker.scale)
    plain = own(scores)
    bounded = bool(((plain >= 0) & (plain <= 1)).all())
    differences = [
        float(np.mean((calibration(one.scores) - one.relevant) ** 2 - (share - one.relevant) ** 2)) for one in second
    ]
    return CalibrationResult(
        fitted=sum(len(one.scores) for one in first),
        judged=len(scores),
        relevant=float(relevant.mean()),
        brier=float(np.mean((calibration(scores) - relevant) ** 2)),
        constant=float(np.mean((share - relevant) ** 2)),
        default=float(np.mean((plain - relevant) ** 2)) if bounded else None,
        difference=mean_interval(differences, seed=seed),
    )
