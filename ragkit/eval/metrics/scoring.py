"""What all measures of one run share, computed once: cut-offs, sums of spans, relevance of the ranked units."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import UsageError
from ragkit.eval.metrics.axis import Axis, Unit, character_axis, token_axis
from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Ints, overlapping
from ragkit.eval.metrics.layout import Layout, Spans, SpansByDocument
from ragkit.eval.metrics.ranking import Pool, Ranking, positions, running
from ragkit.eval.metrics.relevance import best_grades, chunk_pool, first_documents, gold_documents
from ragkit.eval.metrics.spans import Gold, SortedSpans, SpanSums

RankUnit = Literal["chunks", "documents"]
T = TypeVar("T")


class Scoring:
    """One run laid out for scoring; every intermediate result is kept for the next measure that asks for it."""

    def __init__(
        self, layout: Layout, chunks: SpansByDocument | None = None, token_spans: SpansByDocument | None = None
    ) -> None:
        """Hold `layout`; `chunks` are all chunks of the system's corpus, `token_spans` those of the tokenizer."""
        self.layout = layout
        self._chunks = chunks
        self._token_spans = token_spans
        self._kept_results: dict[Hashable, Any] = {}

    def spans(self, unit: Unit, cutoff: Cutoff | None) -> SpanSums:
        """Return the sums over the hits of each query up to the cut-off."""
        return self._once(("spans", unit, cutoff), lambda: self._sorted(unit).sums(self._gold(unit), self.kept(cutoff)))

    def ideal(self, unit: Unit) -> SpanSums:
        """Return the sums over all chunks of the corpus that overlap the gold (T of metrics.md 1.3)."""

        def build() -> SpanSums:
            holding = self._holding()
            return SortedSpans.of(holding.query, *self._axis(unit).place(holding)).sums(self._gold(unit))

        return self._once(("ideal", unit), build)

    def kept(self, cutoff: Cutoff | None) -> NDArray[np.bool_] | None:
        """Return which hits lie within the cut-off, None where all do."""
        return None if cutoff is None else self._once(("kept", cutoff), lambda: self._cut(cutoff))

    def ranking(self, unit: RankUnit, cutoff: Cutoff | None, min_cover: float) -> Ranking:
        """Return the ranked units up to the cut-off with their grades.

        A document ranks where its first chunk does. `@k` counts units; a budget is spent on chunks.
        """
        return self._once(
            ("ranking", unit, cutoff, min_cover),
            lambda: self._documents(cutoff) if unit == "documents" else self._chunk_ranking(cutoff, min_cover),
        )

    def pool(self, unit: RankUnit, min_cover: float) -> Pool:
        """Return the relevant units of the whole collection; for chunks raise UsageError where they are not known."""
        return self._once(("pool", unit, min_cover), lambda: self._pool(unit, min_cover))

    def _once(self, key: Hashable, build: Callable[[], T]) -> T:
        if key not in self._kept_results:
            self._kept_results[key] = build()
        result: T = self._kept_results[key]
        return result

    def _axis(self, unit: Unit) -> Axis:
        return self._once(("axis", unit), lambda: self._build_axis(unit))

    def _build_axis(self, unit: Unit) -> Axis:
        if unit == "tokens":
            if self._token_spans is None:
                raise UsageError(
                    'A measure with unit="tokens" needs the token spans of the documents.',
                    hint="Give token_spans, as Tokenizer.offsets returns them, or score by characters.",
                )
            return token_axis(self._axis("chars"), self.layout.codes, self._token_spans)
        extents = np.zeros(len(self.layout.codes), np.int64)
        for spans in (self.layout.hits, self.layout.gold):
            np.maximum.at(extents, spans.document, spans.end)
        for given in (self._chunks, self._token_spans):
            for doc_id, code in self.layout.codes.items() if given is not None else ():
                if given is not None and doc_id in given and len(given[doc_id]):
                    extents[code] = max(extents[code], np.asarray(given[doc_id]).max())
        return character_axis(extents, self.layout.queries)

    def _gold(self, unit: Unit) -> Gold:
        def build() -> Gold:
            start, end = self._axis(unit).place(self.layout.gold)
            gold = Gold.of(self.layout.gold.query, start, end, self.layout.queries)
            empty = np.flatnonzero(gold.total == 0)
            if len(empty):
                raise UsageError(
                    f"No token overlaps the evidence of query {self.layout.ids[empty[0]]!r}.",
                    hint="Check that token_spans belong to the data set's documents, or score by characters.",
                )
            return gold

        return self._once(("gold", unit), build)

    def _sorted(self, unit: Unit) -> SortedSpans:
        hits = self.layout.hits
        return self._once(("sorted", unit), lambda: SortedSpans.of(hits.query, *self._axis(unit).place(hits)))

    def _position(self) -> Ints:
        return self._once("position", lambda: positions(self.layout.hits.query, self.layout.queries)[0])

    def _cut(self, cutoff: Cutoff) -> NDArray[np.bool_]:
        hits = self.layout.hits
        limit = np.iinfo(np.int64).max if cutoff.size is None else cutoff.size
        if cutoff.kind == "k":
            kept = self._position() < limit
        elif cutoff.kind == "adaptive":
            counts = np.bincount(self._holding().query, minlength=self.layout.queries)
            kept = self._position() < np.minimum(counts, limit)[hits.query]
        else:
            lengths = self.layout.tokens if cutoff.kind == "tokens" else hits.end - hits.start
            kept = running(lengths, hits.query, self.layout.queries) <= limit
        cut = np.flatnonzero(~kept)
        if self.layout.unranked and len(cut):
            lost = {self.layout.ids[query] for query in np.unique(hits.query[cut])}
            refuse_unranked(f"A cut-off @{cutoff}", [name for name in self.layout.unranked if name in lost])
        return kept

    def _corpus(self) -> Spans:
        """Return the distinct chunks of all documents that hold evidence; every `query` is 0."""
        if self._chunks is None:
            raise UsageError(
                "The measure needs to know all chunks of the corpus, and they were not given.",
                hint='Give chunks={doc_id: spans of its chunks}, or use unit="documents" where the measure has it.',
            )
        codes = {int(code) for code in np.unique(self.layout.gold.document)}
        found = []
        for doc_id, code in self.layout.codes.items():
            if code in codes:
                if doc_id not in self._chunks:
                    raise UsageError(
                        f"The document {doc_id!r} holds evidence, but no chunks are given for it.",
                        hint="Give an empty array for a document that really has none.",
                    )
                spans = np.asarray(self._chunks[doc_id], np.int64).reshape(-1, 2)
                found.append(np.column_stack((np.full(len(spans), code), spans)))
        table = np.concatenate([np.zeros((0, 3), np.int64), *found])
        table = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))]
        # a chunk that was given twice is one
        table = np.concatenate((table[:1], table[1:][(table[1:] != table[:-1]).any(axis=1)]))
        return Spans(np.zeros(len(table), np.int64), table[:, 0], table[:, 1], table[:, 2])

    def _matches(self) -> tuple[Ints, Ints, Ints]:
        """Return which gold span overlaps which chunk of the corpus, and by how many characters."""

        def build() -> tuple[Ints, Ints, Ints]:
            gold, corpus = self.layout.gold, self._once("corpus", self._corpus)
            axis = self._axis("chars")
            return overlapping(
                *axis.place_once(gold.document, gold.start, gold.end),
                *axis.place_once(corpus.document, corpus.start, corpus.end),
            )

        return self._once("matches", build)

    def _holding(self) -> Spans:
        """Return for every query the chunks of the corpus that overlap its gold."""

        def build() -> Spans:
            left, right, _ = self._matches()
            corpus: Spans = self._once("corpus", self._corpus)
            pairs = np.unique(self.layout.gold.query[left] * max(len(corpus.start), 1) + right)
            query, chunk = np.divmod(pairs, max(len(corpus.start), 1))
            return Spans(query, corpus.document[chunk], corpus.start[chunk], corpus.end[chunk])

        return self._once("holding", build)

    def _chunk_ranking(self, cutoff: Cutoff | None, min_cover: float) -> Ranking:
        layout = self.layout
        grade = self._once(("grade", min_cover), lambda: best_grades(layout, *self._hit_matches(), min_cover=min_cover))
        query, position, kept = layout.hits.query, self._position(), self.kept(cutoff)
        if kept is not None:
            query, position, grade = query[kept], position[kept], grade[kept]
        return Ranking(query, position, grade, np.bincount(query, minlength=layout.queries))

    def _hit_matches(self) -> tuple[Ints, Ints, Ints]:
        def build() -> tuple[Ints, Ints, Ints]:
            gold_start, gold_end = self._axis("chars").place(self.layout.gold)
            order = np.argsort(gold_start, kind="stable")
            hit, gold, common = overlapping(
                *self._axis("chars").place(self.layout.hits), gold_start[order], gold_end[order]
            )
            return hit, order[gold], common

        return self._once("hit matches", build)

    def _documents(self, cutoff: Cutoff | None) -> Ranking:
        by_count = cutoff is not None and cutoff.kind == "k"
        kept = None if by_count else self.kept(cutoff)
        ranking: Ranking = self._once(
            ("documents", None if kept is None else cutoff), lambda: first_documents(self.layout, kept)
        )
        if not by_count or cutoff is None or cutoff.size is None:
            return ranking
        inside = ranking.position < cutoff.size
        return Ranking(
            ranking.query[inside],
            ranking.position[inside],
            ranking.grade[inside],
            np.minimum(ranking.returned, cutoff.size),
        )

    def _pool(self, unit: RankUnit, min_cover: float) -> Pool:
        if unit == "documents":
            query, _, grade = gold_documents(self.layout)
            return Pool.of(query, grade, self.layout.queries)
        pool = chunk_pool(self.layout, *self._matches(), min_cover=min_cover)
        returned = self._chunk_ranking(None, min_cover).relevant
        beyond = np.flatnonzero(returned > pool.size)
        if len(beyond):
            first = beyond[0]
            raise UsageError(
                f"Query {self.layout.ids[first]!r} got {returned[first]} relevant chunks, but the chunks given for the "
                f"corpus hold only {pool.size[first]}.",
                hint="Give the chunks of the same system; hits that were merged or widened are no chunks of it.",
            )
        return pool


def refuse_unranked(what: str, names: list[str]) -> None:
    """Raise UsageError naming the first of `names`, queries whose hits are not in order of score."""
    if names:
        raise UsageError(
            f"{what} needs hits in order of score; those of query {names[0]!r} are not ({len(names)} such queries).",
            hint="Score them without a cut-off, with measures that do not depend on the order.",
        )
