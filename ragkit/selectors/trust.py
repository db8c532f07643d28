"""How far sources are trusted, from their metadata or by rules: a wrapper around any selector.

    selector: {name: score_cut, trust: {min: 0.5, weight: 1}}

Trust is a number from 0 to 1 in the metadata field `trust` (or another one), or what the first rule says whose `where`
expression the chunk passes. It fails closed: what has no trust has `missing`, 0 unless told otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragkit.errors import ConfigError
from ragkit.index.where import matches
from ragkit.index.where_parser import parse
from ragkit.protocols import Corpus, Selector, Vectors
from ragkit.schema import Dropped, Hit, MetadataValue, Selection
from ragkit.selectors.weighing import Weights, with_weights

DISTRUSTED = "distrusted"
"""The flag of what is left out for want of trust."""


class TrustRule(BaseModel):
    """Chunks that pass the filter `where` (docs/where.md) have this trust, whatever their metadata say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: str
    trust: float = Field(ge=0, le=1)


class Trust(BaseModel):
    """What trust decides: chunks below `min` are left out; `weight` w multiplies scores by trust to the power of w.

    For the weight, scores are rescaled to [0, 1] over the hits given, so that their scale does not matter. A selector
    that scores hits itself has those scores weighed as well (`ragkit.selectors.weighing`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: float = Field(default=0.0, ge=0, le=1)
    weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    field: str = "trust"
    missing: float = Field(default=0.0, ge=0, le=1)
    rules: tuple[TrustRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Trusted:
    """A chunk's trust and where it comes from."""

    value: float
    origin: str


def make_trust(given: object) -> Trust | None:
    """Return the trust that an option describes: a mapping, or a number for its `min`; None for None.

    Raises ConfigError for what is neither, and FilterError for a rule that does not parse.
    """
    if given is None:
        return None
    content = {"min": given} if isinstance(given, int | float) and not isinstance(given, bool) else given
    try:
        made = Trust.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "trust"
        raise ConfigError(
            f"The option 'trust' of a selector cannot be {given!r}: {place}: {first['msg']}.",
            hint=f"Give the least trust from 0 to 1, or a mapping of {', '.join(Trust.model_fields)}.",
        ) from None
    for rule in made.rules:
        parse(rule.where)
    return made


def trust_of(hit: Hit, trust: Trust) -> Trusted:
    """Return how far the chunk of `hit` is trusted."""
    chunk = hit.chunk
    places: dict[str, MetadataValue] = {
        "source": hit.source,
        "doc_id": chunk.doc_id,
        "page": hit.page,
        "line": hit.line,
        "start": chunk.start,
        "end": chunk.end,
    }
    for rule in trust.rules:
        if matches(rule.where, {**chunk.metadata, **places}):
            return Trusted(rule.trust, f"by the rule {rule.where!r}")
    value = chunk.metadata.get(trust.field)
    if value is None:
        return Trusted(trust.missing, f"its metadata have no {trust.field!r}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1 or math.isnan(value):
        return Trusted(trust.missing, f"{value!r} in its metadata is no trust from 0 to 1")
    return Trusted(float(value), f"{trust.field!r} in its metadata")


@dataclass(frozen=True, slots=True)
class _TrustedCorpus:
    """A corpus whose neighbours are trusted: none is fetched that would not have been let in."""

    corpus: Corpus
    trust: Trust

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """Return the stored vectors."""
        return self.corpus.vectors(rows)

    def neighbours(self, row: int, before: int, after: int) -> list[Hit]:
        """Return the neighbours that are trusted enough."""
        return [
            hit
            for hit in self.corpus.neighbours(row, before, after)
            if trust_of(hit, self.trust).value >= self.trust.min
        ]


class TrustedSelector:
    """Any selector, on the hits that are trusted."""

    def __init__(self, selector: Selector, trust: Trust) -> None:
        """Let `selector` choose among what `trust` lets in."""
        self._selector = selector
        self._trust = trust
        self._weights: Weights | None = None

    def __getattr__(self, attribute: str) -> Any:
        """Return what the selector itself says, such as its name and whether it narrows."""
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        return getattr(self._selector, attribute)

    @property
    def name(self) -> str:
        """The name of the selector."""
        return self._selector.name

    def weighted(self, weights: Weights) -> TrustedSelector:
        """Return this selector with further weights on the scores of the selector inside."""
        made = copy(self)
        made._weights = weights
        return made

    def select(
        self, query: str, hits: Sequence[Hit], limit: int | None = None, corpus: Corpus | None = None
    ) -> Selection:
        """Return what the selector keeps of the trusted hits; the others are dropped with the flag "distrusted"."""
        trusted = {id(hit): trust_of(hit, self._trust) for hit in hits}
        let_in = [hit for hit in hits if trusted[id(hit)].value >= self._trust.min]
        refused = tuple(
            Dropped(hit, _refusal(trusted[id(hit)], self._trust), (DISTRUSTED,))
            for hit in sorted(hits, key=lambda hit: (hit.rank, hit.chunk_id))
            if trusted[id(hit)].value < self._trust.min
        )
        guarded = None if corpus is None else _TrustedCorpus(corpus, self._trust)
        weights = {hit.chunk_id: trusted[id(hit)].value ** self._trust.weight for hit in let_in}
        selector = self._inside(weights)
        if self._trust.weight:
            selection = _as_given(selector.select(query, _weighed(let_in, weights), limit, guarded), let_in)
        else:
            selection = selector.select(query, let_in, limit, guarded)
        trace = {
            **selection.trace,
            "trust": {**self._trust.model_dump(), "of": {hit.chunk_id: trusted[id(hit)].value for hit in hits}},
        }
        return replace(selection, dropped=(*selection.dropped, *refused), trace=trace)

    def _inside(self, weights: Weights) -> Selector:
        """Return the selector inside with these weights and those that this one was given, where there are any."""
        if self._weights is not None:
            given = self._weights
            weights = {name: weight * given.get(name, 0.0) for name, weight in weights.items()}
        elif not self._trust.weight:
            return self._selector
        return with_weights(self._selector, weights)


def _weighed(hits: Sequence[Hit], weights: Weights) -> list[Hit]:
    """Return the hits ranked by their scores in [0, 1] times their weights."""
    scores = [hit.score for hit in hits]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    weighed = [
        replace(hit, score=((hit.score - low) / (high - low) if high > low else 1.0) * weights[hit.chunk_id])
        for hit in hits
    ]
    weighed.sort(key=lambda hit: (-hit.score, hit.rank, hit.chunk_id))
    return [replace(hit, rank=rank) for rank, hit in enumerate(weighed, 1)]


def _as_given(selection: Selection, hits: Sequence[Hit]) -> Selection:
    """Return `selection` with the ranks and scores that the hits came with."""
    waiting: dict[str, list[Hit]] = {}
    for hit in sorted(hits, key=lambda hit: -hit.rank):
        waiting.setdefault(hit.chunk_id, []).append(hit)
    best = {chunk_id: found[-1] for chunk_id, found in waiting.items()}

    def given(hit: Hit) -> Hit:
        found = best.get(hit.part_of or hit.chunk_id)
        return hit if found is None else replace(hit, rank=found.rank, score=found.score)

    kept = tuple(given(hit) for hit in selection.hits)
    seen = {hit.part_of or hit.chunk_id for hit in kept}
    dropped = []
    for one in selection.dropped:
        left = waiting.get(one.hit.chunk_id, [])
        repeated = one.hit.chunk_id in seen and len(left) > 1
        dropped.append(replace(one, hit=left.pop(0) if repeated else given(one.hit)))
        seen.add(one.hit.chunk_id)
    return replace(selection, hits=kept, dropped=tuple(dropped))


def _refusal(found: Trusted, trust: Trust) -> str:
    return f"its trust is {found.value:g} ({found.origin}); at least {trust.min:g} is wanted"
