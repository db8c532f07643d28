"""The hits of a system for every question, from the store where they are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.corpus import SnapshotCorpus
from ragkit.eval.experiment.code import code_hash
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.indexes import Built
from ragkit.eval.experiment.store import key
from ragkit.eval.experiment.systems import System
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.hits import Hits, SystemHits
from ragkit.eval.types import EvalSet, Query
from ragkit.parts import make_selector
from ragkit.pipeline import Pipeline
from ragkit.plugins import asks_for
from ragkit.protocols import Selector, Tokenizer
from ragkit.schema import Chunk, Hit

Done = Callable[[int], None]
"""Called with the number of questions that were answered."""


@dataclass(frozen=True, slots=True)
class Run:
    """The hits of one system for all queries of a set, as deep as measures look.

    `key` names all that they depend on. `unfilled` counts the queries for which all retrieved chunks together did not
    fill the largest token budget.
    """

    key: str
    hits: Hits
    unfilled: int


def run_of(
    workshop: Workshop, index: Built, system: System, evalset: EvalSet, *, k: int, depth: Depth, done: Done
) -> Run:
    """Return the hits of `system` for all queries of `evalset`; one piece where nothing of it changed."""
    name = run_key(workshop, index, system, evalset, k=k, depth=depth)
    found = workshop.store.get([name]).get(name)
    if found is not None:
        done(len(evalset.queries))
        return Run(name, Hits.decoded(found["hits"]), found["unfilled"])
    return keep_run(workshop, name, hits_of(workshop, index, system, evalset.queries, k=k, done=done), k=k, depth=depth)


def run_key(workshop: Workshop, index: Built, system: System, evalset: EvalSet, *, k: int, depth: Depth) -> str:
    """Return the name of what `system` finds for all queries of `evalset`, kept to `depth`."""
    common = _common(index, system, k, workshop.tokenizer)
    return key("run in columns", hits=common, queries=evalset.fingerprint, **depth.as_dict())


def keep_run(workshop: Workshop, name: str, hits: Sequence[SystemHits], *, k: int, depth: Depth) -> Run:
    """Return `hits`, one list for each query, as deep as measures look, and keep them under `name`."""
    unfilled = sum(len(item.documents) == k and sum(item.tokens) <= depth.tokens for item in hits)
    kept = Hits.of(map(depth.kept, hits))
    workshop.store.put(name, {"hits": kept.encoded(), "unfilled": unfilled})
    return Run(name, kept, unfilled)


def hits_of(
    workshop: Workshop, index: Built, system: System, queries: Sequence[Query], *, k: int, done: Done
) -> list[SystemHits]:
    """Return what `system` finds for each of `queries`, at most `k` chunks, in order.

    A question with a scope is asked of that document alone. What is computed is stored at once, so that an interrupted
    run goes on where it was. `seconds` are those of search and selection; questions are embedded before, in batches.
    """
    store, tokenizer = workshop.store, workshop.tokenizer
    common = _common(index, system, k, tokenizer)
    keys = [_key(common, query) for query in queries]
    found = store.get(keys)
    done(sum(name in found for name in keys))
    missing = [place for place, name in enumerate(keys) if name not in found]
    if missing:
        embedder = workshop.embedder(system.config)
        searched = [queries[place] for place in missing]
        if asks_for("retrievers", system.config.retriever.name, "embedder"):
            embedder.embed_queries([query.question for query in searched])
        with Pipeline(index.folder, system.config) as pipeline:
            pipeline.embedder = embedder
            selector = make_selector(system.config, None, tokenizer.count, lambda: embedder) if system.selects else None
            search = _Search(pipeline, selector, k, _lengths(index), tokenizer)
            for place, query in zip(missing, searched, strict=True):
                found[keys[place]] = search.hits(query)
                store.put(keys[place], found[keys[place]])
                done(1)
        store.flush()
    return [_stored(found[name]) for name in keys]


def _stored(found: dict[str, Any]) -> SystemHits:
    """Return what the store holds; its checksum was right, so nothing of it is checked again."""
    return SystemHits.model_construct(**{**found, "spans": [tuple(span) for span in found["spans"]]})


def within(scope: str) -> str:
    """Return the filter that keeps the chunks of one document.

    >>> within("it's")
    "doc_id = 'it''s'"
    """
    return "doc_id = '" + scope.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class _Search:
    """What answers questions, and what knows how long its chunks are."""

    pipeline: Pipeline
    selector: Selector | None
    k: int
    lengths: dict[tuple[str, int, int], int]
    tokenizer: Tokenizer

    def hits(self, query: Query) -> dict[str, Any]:
        """Return the hits for `query` as they are stored."""
        where = None if query.scope is None else within(query.scope)
        started = time.perf_counter()
        hits: Sequence[Hit] = self.pipeline.retrieve(query.question, self.k, where=where)
        if self.selector is not None:
            corpus = SnapshotCorpus(self.pipeline.snapshot)
            hits = self.selector.select(query.question, hits, None, corpus).hits
        seconds = time.perf_counter() - started
        return {
            "documents": [hit.chunk.doc_id for hit in hits],
            "spans": [[hit.chunk.start, hit.chunk.end] for hit in hits],
            "tokens": [self._tokens(hit.chunk) for hit in hits],
            "scores": [float(hit.score) for hit in hits],
            "seconds": seconds,
            "ranked": bool(getattr(self.selector, "ranked", True)),
        }

    def _tokens(self, chunk: Chunk) -> int:
        known = self.lengths.get((chunk.doc_id, chunk.start, chunk.end))
        return self.tokenizer.count([chunk.text])[0] if known is None else known


def _lengths(index: Built) -> dict[tuple[str, int, int], int]:
    return {(doc_id, start, end): tokens for doc_id, spans in index.chunks.items() for start, end, tokens in spans}


def _key(common: str, query: Query) -> str:
    return key("hits", common=common, question=query.question, scope=query.scope)


def _common(index: Built, system: System, k: int, tokenizer: Tokenizer) -> str:
    """Return the name of what the hits of all questions depend on."""
    return key(
        "search",
        index=index.key,
        retriever=system.config.retriever.model_dump_json(),
        selector=system.config.selector.model_dump_json() if system.selects else None,
        k=k,
        tokenizer=tokenizer.fingerprint,
        code=code_hash("retrievers", "index", "selectors", "scoring", "rerankers"),
    )
