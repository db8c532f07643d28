"""One index per corpus, chunker and embedder, built once and reused by every retriever and every later run."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from ragkit.eval.experiment.counting import CountingEmbedder
from ragkit.eval.experiment.metering import Metering
from ragkit.eval.experiment.store import key
from ragkit.eval.experiment.systems import System
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.results import Spent
from ragkit.eval.types import EvalSet
from ragkit.index.header import FORMAT_VERSION
from ragkit.pipeline import Pipeline
from ragkit.protocols import Chunker, Embedder, Tokenizer

Report = Callable[[int], None]
"""Called with the number of characters that were indexed since the last call."""


@dataclass(frozen=True, slots=True)
class Built:
    """An index of one data set: its chunks by document as (start, end, tokens), and what building it took.

    `embedded` and `cached` count the chunks whose vectors were computed then, and came from a cache; None: not known.
    """

    key: str
    folder: Path
    chunks: Mapping[str, list[tuple[int, int, int]]]
    seconds: float
    unmapped: int
    embedded: int | None = None
    cached: int = 0
    cost: Spent | None = None
    """Of the language model that chunked or enriched, where there is one."""
    failed: tuple[str, ...] = ()
    """Documents that are not in the index, each with the reason."""

    @property
    def count(self) -> int:
        """The number of chunks."""
        return sum(map(len, self.chunks.values()))

    @property
    def mean_tokens(self) -> float:
        """Mean chunk length in tokens of the evaluation tokenizer."""
        return sum(tokens for spans in self.chunks.values() for _, _, tokens in spans) / max(self.count, 1)


def corpus_fingerprint(evalset: EvalSet) -> str:
    """Return the hash of the documents of `evalset`: samples of one set share their indexes."""
    return key(
        "corpus",
        documents=[[doc_id, document.text_hash, document.source] for doc_id, document in evalset.documents.items()],
        metadata=[json.dumps(dict(document.metadata), sort_keys=True) for document in evalset.documents.values()],
    )


@dataclass(frozen=True, slots=True)
class Order:
    """An index to be built, or found: its name, its embedder, and the chunker, made for it alone.

    The chunker counts what it could not map, so that no two indexes may share it; `metering` counts what its language
    model is charged.
    """

    name: str
    embedder: Embedder
    chunker: Chunker
    metering: Metering


def index_key(corpus: str, system: System, chunker: Chunker, embedder: Embedder) -> str:
    """Return the name of the index that `system` needs: equal names, equal hits."""
    return key(
        "index",
        corpus=corpus,
        chunker=chunker.fingerprint,
        embedder=embedder.fingerprint,
        store=system.config.store.model_dump_json(),
        language=system.config.language,
        format=FORMAT_VERSION,
    )


def built(workshop: Workshop, system: System, evalset: EvalSet, order: Order, *, report: Report) -> Built:
    """Return the index that is ordered for `evalset`, building it unless it is complete in the work folder.

    A build that was interrupted starts again; chunks that were embedded before come from the embedding cache.
    """
    folder = workshop.work / "indexes" / order.name
    folder.mkdir(parents=True, exist_ok=True)
    complete = folder / "complete.json"
    with filelock.FileLock(folder / "lock"):
        if complete.is_file():
            report(_size(evalset))
        else:
            _build(folder, system, evalset, order, report=report)
        facts = json.loads(complete.read_text(encoding="utf-8"))
        chunks = _chunks(folder, workshop.tokenizer, evalset)
    return Built(
        order.name,
        folder / "index",
        chunks,
        facts["seconds"],
        facts["unmapped"],
        facts.get("embedded"),
        facts.get("cached", 0),
        None if facts.get("cost") is None else Spent.model_validate(facts["cost"]),
        tuple(facts.get("failed", ())),
    )


def _build(folder: Path, system: System, evalset: EvalSet, order: Order, *, report: Report) -> None:
    """Build the index in `folder` from nothing and mark it complete."""
    shutil.rmtree(folder / "index", ignore_errors=True)
    started = time.perf_counter()
    with Pipeline(folder / "index", system.config) as pipeline:
        counting = CountingEmbedder(order.embedder, report)
        pipeline.embedder, pipeline.chunker = counting, order.chunker
        before = getattr(order.embedder, "computed", None)
        done = pipeline.add(evalset.documents.values())
        report(_size(evalset) - counting.reported)
    computed = done.chunks if before is None else getattr(order.embedder, "computed", 0) - before
    cost = order.metering.spent()
    facts = {
        "seconds": time.perf_counter() - started,
        "unmapped": getattr(order.chunker, "unmapped", 0),
        "embedded": computed,
        "cached": done.chunks - computed,
        "cost": None if cost is None else cost.model_dump(),
        "failed": [f"{failure.source}: {failure.reason}" for failure in done.failed],
    }
    _write(folder / "complete.json", facts)


def _size(evalset: EvalSet) -> int:
    return sum(len(document.text) for document in evalset.documents.values())


def _chunks(folder: Path, tokenizer: Tokenizer, evalset: EvalSet) -> dict[str, list[tuple[int, int, int]]]:
    """Return the chunks of the index with their lengths, computed once per tokenizer."""
    path = folder / f"chunks-{key('chunks', tokenizer=tokenizer.fingerprint)}.json.gz"
    if path.is_file():
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            return {doc_id: [tuple(span) for span in spans] for doc_id, spans in json.load(stream).items()}
    found: dict[str, list[tuple[int, int, int]]] = {doc_id: [] for doc_id in evalset.documents}
    with Pipeline(folder / "index") as pipeline:
        snapshot = pipeline.snapshot
        stored = [item.chunk for item in snapshot.chunks(snapshot.live_rows().tolist())]
    counts = tokenizer.count([chunk.text for chunk in stored])
    for chunk, tokens in zip(stored, counts, strict=True):
        found[chunk.doc_id].append((chunk.start, chunk.end, tokens))
    for spans in found.values():
        spans.sort()
    _write(path, found)
    return found


def _write(path: Path, value: Any) -> None:
    """Write `value` as JSON so that the file is there whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    content = json.dumps(value, separators=(",", ":")).encode("utf-8")
    part.write_bytes(gzip.compress(content, 5, mtime=0) if path.suffix == ".gz" else content)
    part.replace(path)
