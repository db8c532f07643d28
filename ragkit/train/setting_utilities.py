"""What each setting of a selector is worth for each question of a data set, by the evaluation harness.

Utility is a measure of the harness less the price of the tokens kept: in CORAG cost belongs to the objective, or else
the setting that keeps most would win every question.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ragkit.errors import ConfigError, UsageError
from ragkit.eval.experiment.indexes import Built, built, corpus_fingerprint
from ragkit.eval.experiment.orders import order_of
from ragkit.eval.experiment.retrieval import hits_of
from ragkit.eval.experiment.scoring import asked_of, scored
from ragkit.eval.experiment.specification import GridSpec
from ragkit.eval.experiment.systems import System, grid_systems
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.metrics import parse
from ragkit.eval.metrics.evaluate import checked
from ragkit.eval.types import EvalSet, Query
from ragkit.selectors.agent import Floats, Setting
from ragkit.selectors.agent_file import Aim

_FUSION = {"name": "extractive", "scorer": "fusion"}
SETTINGS: tuple[Mapping[str, Any], ...] = (
    *({"name": "top_k", "k": k} for k in (1, 2, 3, 5, 8, 12)),
    {"name": "score_cut", "reranker": {"name": "fusion", "method": "weighted"}},
    {"name": "tree_search", "tokens": 450},
    {"name": "tree_search", "tokens": 900},
    _FUSION,
    {**_FUSION, "share": 1.0, "policy": {"name": "within", "gap": 2.0}},
    {**_FUSION, "share": 0.5, "policy": {"name": "fixed", "k": 1000}},
)
"""What is tried unless other settings are given: none asks a language model."""


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """One data set's questions with their vectors, documents, and what each setting came to: rows are questions.

    `quality` is the measure, `tokens` what was kept, `utility` what the agent learns.
    """

    queries: tuple[Query, ...]
    features: Floats
    documents: tuple[str, ...]
    quality: Floats
    tokens: Floats
    utility: Floats

    def among(self, ids: Sequence[str]) -> Worth:
        """Return the part with these questions."""
        wanted = set(ids)
        places = [place for place, query in enumerate(self.queries) if query.query_id in wanted]
        return Worth(
            tuple(self.queries[place] for place in places),
            self.features[places],
            tuple(self.documents[place] for place in places),
            self.quality[places],
            self.tokens[places],
            self.utility[places],
        )

    def without(self, ids: Collection[str]) -> Worth:
        """Return the part without these questions."""
        return self.among([query.query_id for query in self.queries if query.query_id not in ids])


def systems_for(settings: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> list[System]:
    """Return one system for each setting over the configuration `base`, its selector left out.

    Raises ConfigError for settings that are fewer than two or twice the same, UsageError for parts and options that do
    not exist.
    """
    rest = {key: value for key, value in base.items() if key not in ("selector", "controller")}
    grid = GridSpec(retrievers=[rest.get("retriever", "hybrid")], selectors=[dict(one) for one in settings])
    systems = grid_systems(grid, rest)
    chosen = {(system.config.selector.name, str(system.config.selector.options)) for system in systems}
    if len(settings) < 2 or len(chosen) != len(settings) or len(systems) != len(settings):
        raise ConfigError(
            f"{len(settings)} settings were given, {len(chosen)} of them different; expected two or more, none twice.",
            hint="List selectors with their options, as in {name: top_k, k: 3}.",
        )
    for system in systems:
        if not system.selects or system.config.selector.name == "configured":
            raise ConfigError(
                f"{system.config.selector.name!r} cannot be a setting to choose from.",
                hint="Name a selector other than none and configured.",
            )
    return systems


def settings_of(systems: Sequence[System]) -> tuple[Setting, ...]:
    """Return the setting of each system."""
    return tuple(Setting(one.config.selector.name, one.config.selector.options) for one in systems)


def worth_of(workshop: Workshop, evalset: EvalSet, systems: Sequence[System], aim: Aim) -> Worth:
    """Return what `systems` are worth for the questions of `evalset` that are answerable and have evidence.

    What was computed once comes from the workshop's store. Raises UsageError where no question counts.
    """
    measure = parse(aim.measure)
    checked([measure], "retrieval")
    queries = tuple(query for query in evalset.queries if query.answerable and query.evidence)
    if not queries:
        raise UsageError(f"{evalset.name} has no question with evidence.", hint="Give a set with evidence spans.")
    corpus, known = corpus_fingerprint(evalset), dict[str, Built]()
    advance = workshop.stage("trying settings", len(queries) * len(systems))
    characters = sum(len(document.text) for document in evalset.documents.values())
    quality: list[list[float]] = []
    tokens: list[list[int]] = []
    counted: list[str] = []
    for system in systems:
        order = order_of(workshop, system, corpus, vectors=True)
        if order.name not in known:
            report = workshop.stage(f"indexing {evalset.name}", characters)
            known[order.name] = built(workshop, system, evalset, order, report=report)
        hits = hits_of(workshop, known[order.name], system, queries, k=aim.candidates, done=advance)
        values, counted = scored(queries, hits, {}, [measure], None)
        kept = set(counted)
        quality.append(values[str(measure)])
        tokens.append([sum(one.tokens) for one, query in zip(hits, queries, strict=True) if query.query_id in kept])
    queries = tuple(query for query in queries if query.query_id in set(counted))
    vectors = workshop.embedder(systems[0].config).embed_queries([query.question for query in queries])
    gained, spent = np.array(quality, np.float64).T, np.array(tokens, np.float64).T
    utility = gained - aim.cost * spent / aim.budget
    documents = tuple(f"{evalset.name}/{asked_of(query)}" for query in queries)
    return Worth(queries, np.asarray(vectors, np.float64), documents, gained, spent, utility)
