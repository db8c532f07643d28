"""Where chunkers cut the documents of a segmentation set; each chunker runs once, and never again for equal content."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ragkit.eval.experiment.chunking import chunker_of
from ragkit.eval.experiment.indexes import corpus_fingerprint
from ragkit.eval.experiment.segmentation_gold import Gold
from ragkit.eval.experiment.store import key
from ragkit.eval.experiment.systems import System
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.metrics.segmentation.units import Placed, placed
from ragkit.eval.types import EvalSet


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where one chunker cut: by counted document the starts of all chunks but the first, as positions between units."""

    key: str
    chunks: int
    mean_tokens: float
    unmapped: int
    failed: int
    """Documents that the chunker could not cut: they have no boundary."""
    seconds: float
    placed: Mapping[str, Placed]
    predicted: int

    @property
    def inside(self) -> int:
        """Boundaries that stood within a unit."""
        return sum(found.inside for found in self.placed.values())

    @property
    def lost(self) -> int:
        """Boundaries that fell on another one's position or on an end of the text."""
        return sum(found.lost for found in self.placed.values())

    @property
    def positions(self) -> dict[str, list[int]]:
        """The boundaries of each counted document."""
        return {doc_id: list(found.positions) for doc_id, found in self.placed.items()}


def cuts_name(workshop: Workshop, system: System, evalset: EvalSet) -> str:
    """Return the key of what the chunker of `system` does with `evalset`: equal keys, equal cuts."""
    return key(
        "cuts",
        corpus=corpus_fingerprint(evalset),
        chunker=chunker_of(system, workshop.embedder(system.config)).fingerprint,
        tokenizer=workshop.tokenizer.fingerprint,
    )


def cuts_by(
    workshop: Workshop, system: System, evalset: EvalSet, gold: Gold, report: Callable[[int], None] = lambda _: None
) -> Cuts:
    """Return where the chunker of `system` cuts, from the store if that is known; `report` counts documents."""
    name = cuts_name(workshop, system, evalset)
    found = workshop.store.get([name]).get(name)
    if found is None:
        found = _cut(workshop, system, evalset, report)
        workshop.store.put(name, found)
    else:
        report(len(evalset.documents))
    starts = found["starts"]
    return Cuts(
        key=name,
        chunks=found["chunks"],
        mean_tokens=found["mean_tokens"],
        unmapped=found["unmapped"],
        failed=found["failed"],
        seconds=found["seconds"],
        placed={doc_id: placed(starts.get(doc_id, []), gold.units[doc_id]) for doc_id in gold.counted},
        predicted=sum(len(starts.get(doc_id, [])) for doc_id in gold.counted),
    )


def _cut(workshop: Workshop, system: System, evalset: EvalSet, report: Callable[[int], None]) -> dict[str, Any]:
    chunker = chunker_of(system, workshop.embedder(system.config))
    starts: dict[str, list[int]] = {}
    chunks = tokens = failed = 0
    began = time.perf_counter()
    counting = 0.0
    for item in chunker.chunk(evalset.documents.values()):
        own = item.chunks
        starts[item.document.doc_id] = [chunk.start for chunk in own][1:]
        failed += item.failure is not None
        chunks += len(own)
        paused = time.perf_counter()
        tokens += sum(workshop.tokenizer.count([chunk.text for chunk in own]))
        counting += time.perf_counter() - paused
        report(1)
    return {
        "starts": starts,
        "chunks": chunks,
        "mean_tokens": tokens / max(chunks, 1),
        "unmapped": getattr(chunker, "unmapped", 0),
        "failed": failed,
        "seconds": time.perf_counter() - began - counting,
    }
