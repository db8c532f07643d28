"""A data set while it is read: every record is checked as it comes, and refused or dropped where it does not hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ragkit.errors import ContractError, LoadError
from ragkit.eval.datasets.fingerprint import fingerprint
from ragkit.eval.datasets.rules import answerable_by, scope_of
from ragkit.eval.datasets.verify import Claim, Flaw, clipped, storable, verified, verified_segments
from ragkit.eval.types import EvalSet, Query
from ragkit.loaders.metadata import scalars
from ragkit.plugins import suggestion
from ragkit.schema import Document

__all__ = ["Claim", "Draft", "Flaw"]


@dataclass(slots=True)
class _Drops:
    """How many records fell for one reason, and the first of them."""

    first: str
    count: int = 0


@dataclass(slots=True)
class Draft:
    """Collects documents and queries; `strict` decides whether a `Flaw` is raised or counted."""

    name: str
    strict: bool
    documents: dict[str, Document] = field(default_factory=dict)
    queries: dict[str, Query] = field(default_factory=dict)
    segments: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    _places: dict[tuple[str, str], str] = field(default_factory=dict)
    _drops: dict[str, _Drops] = field(default_factory=dict)
    _place: str = ""

    @contextmanager
    def record(self, place: str) -> Iterator[None]:
        """Read one record inside: a `Flaw` becomes a LoadError that begins with `place`, or is counted."""
        self._place = place
        try:
            yield
        except (Flaw, ContractError) as error:
            flaw = error if isinstance(error, Flaw) else Flaw("malformed record", error.message.rstrip("."))
            if self.strict:
                raise LoadError(f"{place}: {flaw.detail}.", hint=flaw.hint) from None
            self.drop(flaw.reason, f"{place}: {flaw.detail}")

    def drop(self, reason: str, example: str, count: int = 1) -> None:
        """Count `count` things left out for `reason`; the first example is kept."""
        self._drops.setdefault(reason, _Drops(example)).count += count

    def add_document(
        self,
        doc_id: str,
        text: str,
        meta: Mapping[Any, Any] | None = None,
        segments: Sequence[tuple[int, int]] = (),
    ) -> Document:
        """Return the document now in the set; raise Flaw for a bad or duplicate id, or segments that do not fit."""
        meta = meta or {}
        self._check_id("document", doc_id, self.documents)
        document = Document(text, source=f"{self.name}/{doc_id}", doc_id=doc_id, metadata=scalars(meta))
        spans = verified_segments(document, segments, overlapping=meta.get("segments_may_overlap") is True)
        self.documents[doc_id] = document
        self._places["document", doc_id] = self._place
        if spans:
            self.segments[doc_id] = spans
        return document

    def add_query(
        self,
        query_id: str,
        question: str,
        *,
        answers: Sequence[str] = (),
        evidence: Sequence[Claim] = (),
        meta: Mapping[str, Any] | None = None,
        level: str = "",
        answerable: bool | None = None,
        scope: str | None = None,
    ) -> None:
        """Add a question with all its evidence, or raise Flaw and add nothing.

        `scope`, `answerable` and `level` follow from `meta` by the rules of `rules.py` unless given.
        """
        meta = meta or {}
        self._check_id("query", query_id, self.queries)
        if not question.strip():
            raise Flaw("question is empty", f"query {query_id!r} has no question; expected a text")
        spans = tuple(verified(self._claimed(claim), claim) for claim in evidence)
        level = level or str(meta.get("evidence_level") or ("span" if spans else "none"))
        scope = scope_of(meta, level, spans) if scope is None else scope
        if scope is not None:
            self._check_scope(query_id, scope, {span.doc_id for span in spans})
        if answerable is None:
            answerable = answerable_by(meta, answers, spans)
        if spans and not answerable:
            raise Flaw("unanswerable with evidence", f"query {query_id!r} is unanswerable, yet it has evidence")
        self.queries[query_id] = Query(query_id, question, tuple(answers), spans, answerable, scope, level, meta)
        self._places["query", query_id] = self._place

    def free_id(self, wanted: str) -> str:
        """Return `wanted`, or "wanted (2)" and so on where another document has that id."""
        number, free = 1, wanted
        while free in self.documents:
            number += 1
            free = f"{wanted} ({number})"
        return free

    def finish(self, source: str) -> EvalSet:
        """Return the set; raise LoadError where nothing is left that could be evaluated."""
        dropped = tuple(f"{drops.count} x {reason}; first: {drops.first}" for reason, drops in self._drops.items())
        if not self.documents or not (self.queries or self.segments):
            found = f"{len(self.documents)} documents, {len(self.queries)} queries and no segments"
            raise LoadError(
                f"{source}: {found}; expected documents with queries or segments. {' | '.join(dropped)}".rstrip(),
                hint="Check that the path is the right one and complete.",
            )
        evalset = EvalSet(self.name, self.documents, tuple(self.queries.values()), self.segments, dropped)
        return EvalSet(self.name, evalset.documents, evalset.queries, evalset.segments, dropped, fingerprint(evalset))

    def _check_id(self, kind: str, found: str, taken: Mapping[str, object]) -> None:
        if not found.strip():
            raise Flaw(f"{kind} id is empty", f"the {kind} id is {found!r}; expected a text")
        if not storable(found):
            raise Flaw("malformed record", f"the {kind} id {found!r} holds a lone surrogate; expected Unicode text")
        if found in taken:
            raise Flaw(
                f"duplicate {kind} id",
                f"the {kind} id {clipped(found)} was given before ({self._places[kind, found]}); expected unique ids",
            )

    def _claimed(self, claim: Claim) -> Document:
        document = self.documents.get(claim.doc_id)
        if document is None:
            raise self._unknown("evidence", claim.doc_id)
        return document

    def _check_scope(self, query_id: str, scope: str, found: set[str]) -> None:
        if scope not in self.documents:
            raise self._unknown("meta.doc_id", scope)
        if found - {scope}:
            raise Flaw(
                "evidence outside the scope",
                f"query {query_id!r} is asked of document {clipped(scope)}, yet its evidence lies in "
                f"{clipped(min(found - {scope}))}; expected evidence in that document only",
            )

    def _unknown(self, what: str, doc_id: str) -> Flaw:
        near = suggestion(doc_id, list(self.documents)) if self.strict else ""
        return Flaw(
            "unknown document",
            f"{what} names document {clipped(doc_id)}, which is not in the corpus; expected one of its "
            f"{len(self.documents):,} ids",
            hint=near,
        )
