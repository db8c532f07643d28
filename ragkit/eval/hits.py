"""What systems returned, in columns: a span once for each system, a hit as its number; `SystemHits` are views of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ragkit.errors import ContractError
from ragkit.eval.columns import read_column, rounded, written
from ragkit.eval.types import Retrieved

Span = tuple[int, int]
Ints = NDArray[np.int64]
Rejected = tuple[str, int, int, tuple[str, ...]]

DIGITS = 10
"""Binary digits that scores and seconds keep: three decimal ones. Ranks are the order of the hits, not the scores."""


class SystemHits(BaseModel):
    """What one system returned for one query, best first."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    documents: list[str]
    spans: list[Span]
    tokens: list[int]
    scores: list[float]
    seconds: float
    """Time of search and selection; embedding the question is not in it."""
    ranked: bool = True
    """False for selectors that return document order."""
    ordered: bool = False
    """Whether the prompt shows the hits in this order; else the best stands last in it."""
    ranks: list[int] = []
    """Ranks of the hits where they are not 1, 2, 3, ..."""
    parts: list[int] = []
    """For each hit the number of the chunk that it is a part of, -1 for a whole chunk; empty: all are whole."""
    rejected: list[Rejected] = []
    """What the selector turned out with a flag: document, start, end, flags."""
    asked: tuple[int, int, int, float] = (0, 0, 0, 0.0)
    """What the selector's language model was asked: calls, tokens of prompts and replies, seconds; not in columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Hits(Sequence[SystemHits]):
    """The hits of one system for many queries: `hits[i]` are those of query i, made when they are asked for.

    `spans` has the columns document (its place in `documents`), start, end, tokens, without repetitions and in order;
    `hit` holds the rows of all hits, one query after the other; query i has those from `ends[i]` to `ends[i + 1]`.
    `rank` and `part` are as long as `hit`; `rejected` has an entry for each query where any has one, else none.
    """

    documents: tuple[str, ...]
    spans: Ints
    hit: Ints
    ends: Ints
    scores: NDArray[np.float32]
    seconds: NDArray[np.float32]
    ranked: NDArray[np.bool_]
    ordered: NDArray[np.bool_]
    rank: Ints
    part: Ints
    rejected: tuple[tuple[Rejected, ...], ...] = ()

    @classmethod
    def of(cls, lists: Iterable[SystemHits]) -> Hits:
        """Return `lists` in columns; raise ContractError for one whose parts differ in length."""
        found = list(lists)
        for place, one in enumerate(found):
            sizes = {len(one.spans), len(one.tokens), len(one.scores), *(len(x) for x in (one.ranks, one.parts) if x)}
            if sizes != {len(one.documents)}:
                raise ContractError(
                    f"List {place} of hits: {len(one.documents)} documents, {len(one.spans)} spans, {len(one.tokens)} "
                    f"token counts and {len(one.scores)} scores.",
                    hint="Give one of each for every hit.",
                )
        names = sorted({name for one in found for name in one.documents})
        codes = {name: place for place, name in enumerate(names)}
        rows = np.array(
            [
                (codes[name], *span, tokens)
                for one in found
                for name, span, tokens in zip(one.documents, one.spans, one.tokens, strict=True)
            ],
            np.int64,
        ).reshape(-1, 4)
        spans, hit = np.unique(rows, axis=0, return_inverse=True)
        return cls(
            tuple(names),
            spans,
            hit.reshape(-1).astype(np.int64),
            _ends([len(one.documents) for one in found]),
            rounded(list(chain.from_iterable(one.scores for one in found)), DIGITS),
            rounded([one.seconds for one in found], DIGITS),
            np.array([one.ranked for one in found], np.bool_),
            np.array([one.ordered for one in found], np.bool_),
            _joined([one.ranks or range(1, len(one.documents) + 1) for one in found]),
            _joined([one.parts or [-1] * len(one.documents) for one in found]),
            tuple(tuple(one.rejected) for one in found) if any(one.rejected for one in found) else (),
        )

    def __len__(self) -> int:
        return len(self.seconds)

    @overload
    def __getitem__(self, place: int) -> SystemHits: ...
    @overload
    def __getitem__(self, place: slice) -> list[SystemHits]: ...
    def __getitem__(self, place: int | slice) -> SystemHits | list[SystemHits]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        at = place if place >= 0 else place + len(self)
        if not 0 <= at < len(self):
            raise IndexError(f"{place} was given; there are {len(self)} lists of hits")
        part = slice(int(self.ends[at]), int(self.ends[at + 1]))
        rows = self.spans[self.hit[part]].tolist()
        return SystemHits.model_construct(
            documents=[self.documents[row[0]] for row in rows],
            spans=[(row[1], row[2]) for row in rows],
            tokens=[row[3] for row in rows],
            scores=self.scores[part].tolist(),
            seconds=float(self.seconds[at]),
            ranked=bool(self.ranked[at]),
            ordered=bool(self.ordered[at]),
            ranks=[] if (self.rank[part] == np.arange(1, len(rows) + 1)).all() else self.rank[part].tolist(),
            parts=[] if (self.part[part] < 0).all() else self.part[part].tolist(),
            rejected=list(self.rejected[at]) if self.rejected else [],
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hits):
            return NotImplemented
        columns = [one.name for one in fields(self) if one.name not in ("documents", "rejected")]
        same = (self.documents, self.rejected) == (other.documents, other.rejected)
        return same and all(np.array_equal(getattr(self, name), getattr(other, name)) for name in columns)

    __hash__ = None  # type: ignore[assignment] # its arrays can be changed

    @property
    def counts(self) -> Ints:
        """How many hits each query has."""
        return np.diff(self.ends)

    def retrieved(self) -> list[Retrieved]:
        """Return all lists as measures take them."""
        names = np.array(self.documents, object)
        rows = self.spans[self.hit]
        documents = names[rows[:, 0]].tolist() if len(rows) else []
        scores = self.scores.astype(np.float64)
        bounds = zip(self.ends[:-1].tolist(), self.ends[1:].tolist(), self.ranked.tolist(), strict=True)
        return [
            Retrieved(tuple(documents[a:b]), rows[a:b, 1:3], rows[a:b, 3], scores[a:b], ranked)
            for a, b, ranked in bounds
        ]

    def encoded(self) -> dict[str, Any]:
        """Return the columns as JSON can hold them."""
        order = np.diff(self.spans, axis=0, prepend=np.zeros((1, 4), np.int64))
        lengths = self.spans[:, 2] - self.spans[:, 1]
        return {
            "documents": list(self.documents),
            "document": written(order[:, 0]),
            "start": written(order[:, 1]),
            "length": written(lengths),
            "tokens": written(self.spans[:, 3]),
            "counts": written(self.counts),
            "hit": written(self.hit),
            "scores": written(np.diff(self.scores.view(np.int32), prepend=np.int32(0)).view(np.uint32)),
            "seconds": written(self.seconds),
            "ranked": written(self.ranked),
            **self._encoded_selection(),
        }

    def _encoded_selection(self) -> dict[str, Any]:
        """Return what is not as it is for a list of whole chunks from a retriever."""
        found: dict[str, Any] = {}
        if self.ordered.any():
            found["ordered"] = written(self.ordered)
        if (self.rank != _places(self.ends)).any():
            found["rank"] = written(self.rank)
        if (self.part >= 0).any():
            found["part"] = written(self.part)
        if self.rejected:
            found["rejected"] = [list(own) for own in self.rejected]
        return found

    @classmethod
    def decoded(cls, content: Mapping[str, Any]) -> Hits:
        """Return what `encoded` wrote; raise ValueError for anything else."""
        try:
            documents = tuple(content["documents"])
            column = {name: read_column(content[name]) for name in _COLUMNS}
        except (KeyError, TypeError) as error:
            raise ValueError(f"are no hits in columns: {error} is missing or wrong") from None
        starts = np.cumsum(column["start"].astype(np.int64))
        spans = np.column_stack(
            (
                np.cumsum(column["document"].astype(np.int64)),
                starts,
                starts + column["length"].astype(np.int64),
                column["tokens"].astype(np.int64),
            )
        )
        scores = np.cumsum(column["scores"].astype(np.uint32), dtype=np.uint32).view(np.float32)
        ends = _ends(column["counts"])
        extra = {name: read_column(content[name]) for name in ("ordered", "rank", "part") if name in content}
        made = cls(
            documents,
            spans,
            column["hit"].astype(np.int64),
            ends,
            scores,
            column["seconds"],
            column["ranked"].astype(np.bool_),
            extra.get("ordered", np.zeros(len(column["ranked"]))).astype(np.bool_),
            extra.get("rank", _places(ends)).astype(np.int64),
            extra.get("part", np.full(int(ends[-1]), -1)).astype(np.int64),
            _rejections(content.get("rejected", [])),
        )
        made._check()
        return made

    def _check(self) -> None:
        """Raise ValueError if the columns do not fit together."""
        sizes = {len(self.hit), len(self.scores), len(self.rank), len(self.part), int(self.ends[-1])}
        lists = {len(self.seconds), len(self.ranked), len(self.ordered), len(self.ends) - 1}
        lists |= {len(self.rejected)} if self.rejected else set()
        outside = len(self.hit) and int(self.hit.max()) >= len(self.spans)
        unnamed = len(self.spans) and not 0 <= int(self.spans[:, 0].min()) <= int(self.spans[-1, 0]) < len(
            self.documents
        )
        if len(sizes) > 1 or len(lists) > 1 or outside or unnamed:
            raise ValueError("are columns that do not fit together")


_COLUMNS = ("document", "start", "length", "tokens", "counts", "hit", "scores", "seconds", "ranked")


@dataclass(frozen=True, slots=True)
class HitsByQuery(Mapping[str, SystemHits]):
    """Hits by the id of their query; `ids` and `hits` are parallel, `places` says where each query is."""

    ids: tuple[str, ...]
    hits: Hits
    places: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", {query: place for place, query in enumerate(self.ids)})

    @classmethod
    def of(cls, value: object) -> HitsByQuery:
        """Return `value` (by query already, `SystemHits` by query id, or what a file holds) by query.

        Raises ValueError for anything else.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise ValueError("are no hits")
        if isinstance(value.get("ids"), list):
            ids, hits = tuple(value["ids"]), Hits.decoded(value)
            if len(ids) != len(hits):
                raise ValueError(f"are those of {len(hits)} queries with {len(ids)} ids")
            return cls(ids, hits)
        if not all(isinstance(one, SystemHits) for one in value.values()):
            raise ValueError("are not in columns: the file is of another version")
        return cls(tuple(value), Hits.of(value.values()))

    def __getitem__(self, query: str) -> SystemHits:
        return self.hits[self.places[query]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, queries: Sequence[str]) -> Hits:
        """Return the hits of `queries` in this order; raise KeyError for a query that is not there."""
        if tuple(queries) == self.ids:
            return self.hits
        return Hits.of(self[query] for query in queries)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return how records hold them: in memory as they are, in files as columns."""
        writing = core_schema.plain_serializer_function_ser_schema(
            lambda found: {"ids": list(found.ids), **found.hits.encoded()}
        )
        return core_schema.no_info_plain_validator_function(cls.of, serialization=writing)


def _ends(counts: Sequence[int] | NDArray[Any]) -> Ints:
    """Return where each list begins, and behind the last where it ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(counts, np.int64))])


def _places(ends: Ints) -> Ints:
    """Return for each hit its place in its list, from 1."""
    return np.arange(1, int(ends[-1]) + 1) - np.repeat(ends[:-1], np.diff(ends))


def _joined(lists: Sequence[Sequence[int]]) -> Ints:
    return np.fromiter(chain.from_iterable(lists), np.int64)


def _rejections(content: Any) -> tuple[tuple[Rejected, ...], ...]:
    """Return what `encoded` wrote of rejected hits; raise ValueError for anything else."""
    try:
        return tuple(
            tuple((str(name), int(start), int(end), tuple(map(str, flags))) for name, start, end, flags in own)
            for own in content
        )
    except (TypeError, ValueError):
        raise ValueError("are rejected hits that are none") from None
