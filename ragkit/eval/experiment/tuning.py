"""`tune`: good settings for a user's own documents, found on one half of the questions and judged on the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ragkit.config import PipelineConfig
from ragkit.errors import LoadError, UsageError
from ragkit.eval.datasets import split
from ragkit.eval.datasets.fingerprint import fingerprint
from ragkit.eval.experiment.halving import Round, halve
from ragkit.eval.experiment.indexes import Built, built, corpus_fingerprint
from ragkit.eval.experiment.orders import order_of
from ragkit.eval.experiment.pareto import Point, front
from ragkit.eval.experiment.retrieval import hits_of
from ragkit.eval.experiment.scoring import Judge, scored
from ragkit.eval.experiment.specification import GridSpec
from ragkit.eval.experiment.systems import System, grid_systems
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.metrics import Measure, Recall, tokens
from ragkit.eval.results import Comparison, SystemHits
from ragkit.eval.statistics.bootstrap import RESAMPLES
from ragkit.eval.types import EvalSet, Query
from ragkit.identity import content_hash
from ragkit.loaders.failure import Failure
from ragkit.loaders.reading import read
from ragkit.loaders.walk import walk
from ragkit.schema import Document

SPACE = GridSpec(
    chunkers=["recursive", "sentence", "semantic"],
    sizes=[100, 200, 400],
    retrievers=["hybrid", "dense", "lexical"],
    selectors=["none", {"name": "mmr", "k": 20, "balance": 0.7}],
)
"""What is searched unless another space is given."""

DEPTH = 50
CUTS = (1, 2, 3, 5, 8, 12, 20, 30)
"""Numbers of chunks for which the front shows quality and tokens."""
FINALISTS = 4
FEWEST_FOR_HALVES = 40
"""With fewer questions all are used for the search, and its figures are too good by some unknown amount."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What the search found.

    `content` is the configuration to use; `quality` its mean with the interval, on questions the search has not seen
    if `held_out` is above 0. `default` compares it with ragkit's own defaults on the same questions.
    """

    system: str
    content: dict[str, Any]
    measure: str
    quality: tuple[float, float, float]
    default: Comparison | None
    k: int
    mean_tokens: float
    milliseconds: float
    chunks: int
    index_seconds: float
    searched_on: int
    held_out: int
    rounds: list[Round]
    front: list[Point]
    notes: list[str]


def documents_of(sources: Sequence[Path], config: PipelineConfig) -> tuple[dict[str, Document], list[str]]:
    """Return the documents below `sources` by id, and a note for every file that could not be read.

    Raises UsageError for a source that does not exist, LoadError if there is no document.
    """
    found: dict[str, Document] = {}
    failed: list[str] = []
    for file in walk(sources, config.loading).files:
        for item in read(file.path, config.loading):
            if isinstance(item, Failure):
                failed.append(f"{item.source} was left out: {item.reason}")
            elif item.text.strip():
                found.setdefault(item.doc_id, item)
    if not found:
        raise LoadError("There is no document to tune on.", hint="Name files or folders with documents.")
    return found, failed


class Search:
    """Scores candidates on growing numbers of questions; indexes and hits are kept in the workshop."""

    def __init__(self, workshop: Workshop, evalset: EvalSet, measure: Measure) -> None:
        """Search on `evalset`, whose queries are in the order in which they are used."""
        self._workshop = workshop
        self._evalset = evalset
        self._corpus = corpus_fingerprint(evalset)
        self.measure = measure
        self._built: dict[str, Built] = {}

    def index(self, system: System) -> Built:
        """Return the index of `system`, built at the first call."""
        order = order_of(self._workshop, system, self._corpus, vectors=True)
        if order.name not in self._built:
            advance = self._workshop.stage(
                f"indexing {system.chunker_label}", sum(len(item.text) for item in self._evalset.documents.values())
            )
            self._built[order.name] = built(self._workshop, system, self._evalset, order, report=advance)
        return self._built[order.name]

    def hits(self, system: System, queries: Sequence[Query]) -> list[SystemHits]:
        """Return what `system` finds for `queries`."""
        return hits_of(self._workshop, self.index(system), system, queries, k=DEPTH, done=lambda _: None)

    def values(self, system: System, queries: Sequence[Query]) -> list[float]:
        """Return the measure's value for each of `queries`."""
        values, _ = scored(queries, self.hits(system, queries), {}, [self.measure], None)
        return values[str(self.measure)]


def tune(
    workshop: Workshop,
    documents: dict[str, Document],
    queries: Sequence[Query],
    *,
    base: dict[str, Any] | None = None,
    space: GridSpec = SPACE,
    budget: int = 1000,
    seconds: float | None = None,
    seed: int = 0,
) -> Tuned:
    """Return the best settings of `space` for `documents`, judged by recall within `budget` retrieved tokens.

    `base` is the configuration that all candidates share; `seconds` is when no more candidate is begun. Raises
    UsageError for fewer than ten questions.
    """
    if len(queries) < 10:
        raise UsageError(
            f"There are {len(queries)} questions; at least 10 are needed to tell settings apart.",
            hint="Give more, or let them be generated.",
        )
    started = time.monotonic()
    measure = Recall @ tokens(budget)
    ordered = sorted(queries, key=lambda query: content_hash("tune", seed=seed, query=query.query_id))
    evalset = _evalset(documents, ordered)
    search_on, judge_on, notes = _halves(evalset, seed)
    systems = {system.name: system for system in grid_systems(space, base or {})}
    default = _default(systems, base or {})
    search = Search(workshop, evalset, measure)
    advance = workshop.stage("trying settings", len(systems))
    tried: set[str] = set()

    def values(name: str, count: int) -> list[float]:
        found = search.values(systems[name], search_on[:count])
        if name not in tried:
            tried.add(name)
            advance(1)
        return found

    def spent() -> bool:
        return seconds is not None and time.monotonic() - started > seconds

    rounds = halve(list(systems), values, len(search_on), seed=seed, spent=spent)
    finalists = list(dict.fromkeys([*list(rounds[-1].means)[:FINALISTS], default.name]))
    finals = {name: systems.get(name, default) for name in finalists}
    best = next(iter(rounds[-1].means))
    result = _judged(search, finals, best, default.name, queries=judge_on, seed=seed)
    if result.default is not None and result.default.winner == default.name:
        item = result.default
        notes.append(
            f"the search's best, {best}, was worse than the defaults on the questions it was judged on "
            f"({item.difference:+.3f}, 95 %: {item.low:+.3f} to {item.high:+.3f}), so the defaults are kept"
        )
        result = _judged(search, finals, default.name, default.name, queries=judge_on, seed=seed)
    return replace(
        result,
        rounds=rounds,
        notes=notes,
        searched_on=len(search_on),
        held_out=0 if judge_on is search_on else len(judge_on),
    )


def _evalset(documents: dict[str, Document], queries: Sequence[Query]) -> EvalSet:
    made = EvalSet("own documents", documents, tuple(queries))
    return replace(made, fingerprint=fingerprint(made))


def _halves(evalset: EvalSet, seed: int) -> tuple[list[Query], list[Query], list[str]]:
    """Return the questions to search on and those to judge on, and what is to be known about them."""
    everything = list(evalset.queries)
    if len(everything) < FEWEST_FOR_HALVES:
        note = f"fewer than {FEWEST_FOR_HALVES} questions: quality was measured on those the search used; expect less"
        return everything, everything, [note]
    try:
        first, second = split(evalset, seed)
        if min(len(first.queries), len(second.queries)) >= FEWEST_FOR_HALVES // 4:
            return list(first.queries), list(second.queries), []
    except UsageError:
        pass
    first, second = split(evalset, seed, by="queries")
    return list(first.queries), list(second.queries), ["both halves of the questions share documents"]


def _default(systems: dict[str, System], base: dict[str, Any]) -> System:
    """Return ragkit's own defaults as a system, the candidate that equals them if there is one."""
    (own,) = grid_systems(GridSpec(chunkers=["recursive"], sizes=[200]), base)
    return systems.get(own.name, own)


def _judged(
    search: Search, finals: dict[str, System], best: str, default: str, *, queries: Sequence[Query], seed: int
) -> Tuned:
    """Return the best candidate with its quality and cost on `queries`, and the front of all finalists."""
    measure, judge = search.measure, Judge(seed, RESAMPLES)
    values = {name: {str(measure): search.values(system, queries)} for name, system in finals.items()}
    documents = [query.evidence[0].doc_id for query in queries]
    intervals, comparisons = judge.judged(values, [measure], default, documents)
    compared = [item for item in comparisons if item.system == best]
    hits = search.hits(finals[best], queries)
    size = measure.cutoff.size if measure.cutoff is not None and measure.cutoff.size else 0
    k = max(1, round(float(np.mean([_within(item, size) for item in hits]))))
    index = search.index(finals[best])
    return Tuned(
        system=best,
        content=configuration(finals[best], k),
        measure=str(measure),
        quality=intervals[str(measure)][best],
        default=compared[0] if compared else None,
        k=k,
        mean_tokens=float(np.mean([sum(item.tokens[:k]) for item in hits])),
        milliseconds=1000 * float(np.median([item.seconds for item in hits])),
        chunks=index.count,
        index_seconds=index.seconds,
        searched_on=0,
        held_out=0,
        rounds=[],
        front=front(point for system in finals.values() for point in _points(search, system, queries)),
        notes=[],
    )


def _within(hits: SystemHits, budget: int) -> int:
    """Return how many hits fit the budget."""
    return int(np.searchsorted(np.cumsum(hits.tokens), budget, side="right"))


def _points(search: Search, system: System, queries: Sequence[Query]) -> list[Point]:
    hits = search.hits(system, queries)
    measures = [Recall @ k for k in CUTS]
    values, _ = scored(queries, hits, {}, measures, None)
    return [
        Point(
            system.name,
            k,
            float(np.mean([sum(item.tokens[:k]) for item in hits])),
            float(np.mean(values[str(measure)])),
        )
        for k, measure in zip(CUTS, measures, strict=True)
    ]


def configuration(system: System, k: int) -> dict[str, Any]:
    """Return the configuration of `system` as it is written in YAML, with a selector that keeps `k` chunks."""
    config = system.config
    parts = {"chunker": config.chunker, "embedder": config.embedder, "store": config.store}
    parts["retriever"] = config.retriever
    content: dict[str, Any] = {name: {"name": part.name, **part.options} for name, part in parts.items()}
    if config.enrichers:
        content["enrichers"] = [{"name": part.name, **part.options} for part in config.enrichers]
    selector = config.selector if system.selects else None
    content["selector"] = {"name": "top_k", "k": k}
    if selector is not None:
        content["selector"] = {"name": selector.name, **selector.options, "k": k}
    content["language"] = config.language
    return content
