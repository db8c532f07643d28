"""The hits of a system for every question, from the store where they are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.eval.experiment.code import code_hash
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.indexes import Built
from ragkit.eval.experiment.named_files import named_files
from ragkit.eval.experiment.room import Room
from ragkit.eval.experiment.searching import Lengths, Search, thinking_model, within
from ragkit.eval.experiment.store import key
from ragkit.eval.experiment.systems import System
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.hits import Hits, SystemHits
from ragkit.eval.types import EvalSet, Query
from ragkit.pipeline import Pipeline
from ragkit.plugins import asks_for

__all__ = ["Run", "chunk_lengths", "hits_of", "keep_run", "run_key", "run_of", "stored_hits", "within"]

Done = Callable[[int], None]
"""Called with the number of questions that were answered."""


@dataclass(frozen=True, slots=True)
class Run:
    """The hits of one system for all queries of a set, as deep as measures look.

    `key` names all that they depend on. `unfilled` counts the queries for which all retrieved chunks together did not
    fill the largest token budget. `asked` is what the selector's language model was asked for all of them: calls,
    tokens of prompts and replies, seconds.
    """

    key: str
    hits: Hits
    unfilled: int
    asked: tuple[int, int, int, float] = (0, 0, 0, 0.0)


def run_of(
    workshop: Workshop,
    index: Built,
    system: System,
    evalset: EvalSet,
    *,
    k: int,
    depth: Depth,
    done: Done,
    room: Room | None = None,
) -> Run:
    """Return the hits of `system` for all queries of `evalset`; one piece where nothing of it changed.

    With `room` selectors keep within the tokens that it leaves, as they do in `ragkit ask`.
    """
    name = run_key(workshop, index, system, evalset, k=k, depth=depth, room=room)
    found = workshop.store.get([name]).get(name)
    if found is not None:
        done(len(evalset.queries))
        return Run(name, Hits.decoded(found["hits"]), found["unfilled"], tuple(found["asked"]))
    lists = hits_of(workshop, index, system, evalset.queries, k=k, done=done, room=room)
    return keep_run(workshop, name, lists, k=k, depth=depth)


def run_key(
    workshop: Workshop,
    index: Built,
    system: System,
    evalset: EvalSet,
    *,
    k: int,
    depth: Depth,
    room: Room | None = None,
) -> str:
    """Return the name of what `system` finds for all queries of `evalset`, kept to `depth`."""
    common = _common(workshop, index, system, k, room)
    return key("run in columns", hits=common, queries=evalset.fingerprint, **depth.as_dict())


def keep_run(workshop: Workshop, name: str, hits: Sequence[SystemHits], *, k: int, depth: Depth) -> Run:
    """Return `hits`, one list for each query, as deep as measures look, and keep them under `name`."""
    unfilled = sum(len(item.documents) == k and sum(item.tokens) <= depth.tokens for item in hits)
    kept = Hits.of(map(depth.kept, hits))
    calls, read, written, seconds = (sum(item.asked[at] for item in hits) for at in range(4))
    asked = (int(calls), int(read), int(written), float(seconds))
    workshop.store.put(name, {"hits": kept.encoded(), "unfilled": unfilled, "asked": asked})
    return Run(name, kept, unfilled, asked)


def hits_of(
    workshop: Workshop,
    index: Built,
    system: System,
    queries: Sequence[Query],
    *,
    k: int,
    done: Done,
    room: Room | None = None,
) -> list[SystemHits]:
    """Return what `system` finds for each of `queries`, at most `k` chunks, in order.

    A question with a scope is asked of that document alone. What is computed is stored at once, so that an interrupted
    run goes on where it was. `seconds` are those of search and selection; questions are embedded before, in batches.
    """
    store = workshop.store
    common = _common(workshop, index, system, k, room)
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
            search = Search(workshop, pipeline, system, k, chunk_lengths(index), room)
            for place, one in zip(missing, search.all(searched), strict=True):
                found[keys[place]] = one
                store.put(keys[place], one)
                done(1)
        store.flush()
    return [stored_hits(found[name]) for name in keys]


def stored_hits(found: dict[str, Any]) -> SystemHits:
    """Return what the store holds; its checksum was right, so nothing of it is checked again."""
    rejected = [(name, start, end, tuple(flags)) for name, start, end, flags in found["rejected"]]
    spans = [tuple(span) for span in found["spans"]]
    return SystemHits.model_construct(**{**found, "spans": spans, "rejected": rejected, "asked": tuple(found["asked"])})


def chunk_lengths(index: Built) -> Lengths:
    """Return the tokens of each chunk of `index`."""
    return {(doc_id, start, end): tokens for doc_id, spans in index.chunks.items() for start, end, tokens in spans}


def _key(common: str, query: Query) -> str:
    return key("hits", common=common, question=query.question, scope=query.scope)


def _common(workshop: Workshop, index: Built, system: System, k: int, room: Room | None) -> str:
    """Return the name of what the hits of all questions depend on."""
    thinking = thinking_model(system, room)
    return key(
        "search",
        index=index.key,
        retriever=system.config.retriever.model_dump_json(),
        selector=system.config.selector.model_dump_json() if system.selects else None,
        files=named_files(system.config.selector.options) if system.selects else [],
        k=k,
        tokenizer=workshop.tokenizer.fingerprint,
        room=room.key() if system.selects and room is not None else None,
        model=None if thinking is None else thinking.model_dump_json(),
        code=code_hash("retrievers", "index", "selectors", "scoring", "rerankers"),
    )
