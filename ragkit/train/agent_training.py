"""From data sets to an agent file: settings tried by the harness, learnt on one part of each set, judged on others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.datasets import sample, split
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.types import EvalSet
from ragkit.selectors.agent import Agent, Rule, Table
from ragkit.selectors.agent_file import AgentFile, Aim, SettingRecord, Source, stored
from ragkit.train.apart import repeated_in_each, said
from ragkit.train.corag_agent import OUTSIDE, Fitted, fit
from ragkit.train.held_out import HeldOut, held_out
from ragkit.train.setting_utilities import SETTINGS, Worth, settings_of, systems_for, worth_of

SHARE = 0.7
"""Of each set's questions, to learn from; the others judge."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The file to write, how its agent was fitted, what it did on held-out questions, and what is to be known."""

    file: AgentFile
    fitted: Fitted
    result: HeldOut
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be learnt: the settings, the configuration around them, what utility is, by which rule."""

    aim: Aim
    settings: Sequence[Mapping[str, Any]] = SETTINGS
    base: Mapping[str, Any] | None = None
    rule: Rule = "utility"
    share: float = SHARE
    outside: float = OUTSIDE
    sample: int | None = None
    seed: int = 0


def train(workshop: Workshop, evalsets: Sequence[EvalSet], plan: Plan) -> Trained:
    """Return the agent trained on one part of each of `evalsets` and judged on the rest.

    The parts share no document where a set allows that, and no question or document with those of another set. The
    judged agent is the one in the file. Raises UsageError for too few questions and for sets of equal names;
    ConfigError for settings that cannot be tried.
    """
    names = [evalset.name for evalset in evalsets]
    if len(set(names)) < len(names):
        raise UsageError(f"Two data sets have the same name: {', '.join(names)}.", hint="Give each set once.")
    systems = systems_for(plan.settings, plan.base or {})
    found: list[tuple[EvalSet, Worth, Worth]] = []
    notes: list[str] = []
    for evalset in evalsets:
        drawn = evalset if plan.sample is None else replace(sample(evalset, plan.sample, plan.seed), name=evalset.name)
        worth = worth_of(workshop, drawn, systems, plan.aim)
        # judged with the vectors that the file will hold
        worth = replace(worth, features=stored(worth.features)[1])
        parts, shared = _parts(drawn, plan)
        notes += [f"{evalset.name}: {shared}"] if shared else []
        learn, judge = (worth.among([query.query_id for query in part.queries]) for part in parts)
        found.append((evalset, learn, judge))
    out = repeated_in_each([(one, learn.queries, judge.queries) for one, learn, judge in found])
    notes += [f"{one.name}: {said(len(ids))}" for (one, _, _), ids in zip(found, out, strict=True) if ids]
    first = {one.name: learn.without(ids) for (one, learn, _), ids in zip(found, out, strict=True)}
    second = {one.name: judge for one, _, judge in found}
    table, documents = _table(settings_of(systems), first)
    fitted = fit(table, documents, rule=plan.rule, outside=plan.outside)
    result = held_out(fitted.agent, fit(table, documents, rule="vote", outside=plan.outside).agent, second, plan.seed)
    sources = [Source(name=one.name, fingerprint=one.fingerprint, questions=len(first[one.name].queries))
               for one in evalsets]  # fmt: skip
    file = _file(fitted.agent, plan.aim, sources, workshop.embedder(systems[0].config).fingerprint)
    pipeline = systems[0].config.model_dump(include={"chunker", "enrichers", "embedder", "store", "retriever"})
    file = file.model_copy(update={"pipeline": pipeline, "evaluation": result.as_dict()})
    return Trained(file, fitted, result, tuple(notes))


def _parts(evalset: EvalSet, plan: Plan) -> tuple[tuple[EvalSet, EvalSet], str]:
    """Return the part to learn from and the part to judge on, and what is to be known about them."""
    try:
        parts = split(evalset, plan.seed, plan.share)
        least = 0.5 * min(plan.share, 1 - plan.share) * len(evalset.queries)
        if min(len(part.queries) for part in parts) >= least:
            return parts, ""
    except UsageError:
        pass
    return split(evalset, plan.seed, plan.share, by="queries"), "the two parts of the questions share documents"


def _table(settings: Sequence[Any], parts: Mapping[str, Worth]) -> tuple[Table, list[str]]:
    questions = tuple(query.question for one in parts.values() for query in one.queries)
    features = np.concatenate([one.features for one in parts.values()])
    utilities = np.round(np.concatenate([one.utility for one in parts.values()]), 6)
    return Table(tuple(settings), questions, features, utilities), [
        name for one in parts.values() for name in one.documents
    ]


def _file(agent: Agent, aim: Aim, sources: list[Source], embedder: str) -> AgentFile:
    table = agent.table
    return AgentFile(
        embedder=embedder,
        dimension=table.features.shape[1],
        data=sources,
        aim=aim,
        rule=agent.rule,
        neighbours=agent.neighbours,
        prior=None if math.isinf(agent.prior) else agent.prior,
        least_cosine=agent.least_cosine,
        default=SettingRecord(name=agent.default.name, options=dict(agent.default.options)),
        settings=[SettingRecord(name=one.name, options=dict(one.options)) for one in table.settings],
        questions=list(table.questions),
        features=stored(table.features)[0],
        utilities=table.utilities.tolist(),
    )
