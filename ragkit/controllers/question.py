"""One question on its way through a pipeline (`protocols.Asking`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ragkit.answering.answer import answer
from ragkit.budget import Meter
from ragkit.protocols import LanguageModel
from ragkit.schema import Answer, Hit, Selection

Retrieve = Callable[[str, int, str | None], list[Hit]]
"""Finds chunks for (question, k, retriever or None for that of the call)."""
Select = Callable[[str, Sequence[Hit], int], Selection]
"""Selects for (question, hits, how much larger)."""

Arrange = Callable[[Selection], Selection]


@dataclass(slots=True)
class PipelineQuestion:
    """The steps of a pipeline for one question; `seconds` adds up what each took."""

    question: str
    k: int
    limiting: Callable[[], int]
    meter: Meter
    model: LanguageModel
    max_tokens: int
    retrieving: Retrieve
    selecting: Select
    arranging: Arrange | None = None
    """Puts what was selected into the order of the prompt; None: as the selection says."""
    seconds: dict[str, float] = field(default_factory=dict)
    _shown: dict[str, Hit] = field(default_factory=dict)
    _limit: int | None = None

    @property
    def limit(self) -> int:
        """Tokens that the sources may have; the answering model is asked when this is first needed."""
        if self._limit is None:
            self._limit = self.limiting()
        return self._limit

    def retrieve(self, question: str | None = None, *, k: int | None = None, retriever: str | None = None) -> list[Hit]:
        """Return the best chunks; None stands for what the call says."""
        started = time.perf_counter()
        hits = self.retrieving(question or self.question, k or self.k, retriever)
        self._took("retrieve", time.perf_counter() - started)
        return hits

    def select(self, hits: Sequence[Hit], *, larger: int = 0) -> Selection:
        """Return what the selector keeps."""
        started = time.perf_counter()
        selection = self.selecting(self.question, hits, larger)
        self._took("select", time.perf_counter() - started)
        return selection

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, as the answering model counts them."""
        return self.model.count(texts)

    def answer(self, selection: Selection, hits: Sequence[Hit]) -> Answer:
        """Return the answer from `selection`."""
        if self.arranging is not None:
            started = time.perf_counter()
            selection = self.arranging(selection)
            self._took("prepare", time.perf_counter() - started)
        self._shown |= {hit.chunk_id: hit for hit in selection.hits}
        found = answer(self.question, selection, self.model, max_tokens=self.max_tokens, meter=self.meter, hits=hits)
        for stage, seconds in found.trace["seconds"].items():
            self._took(stage, seconds)
        return found

    def finished(self, found: Answer) -> Answer:
        """Return `found` with all that the question took, whatever round it comes from."""
        trace = {**found.trace, "seconds": dict(self.seconds), "spent": self.meter.report()}
        return replace(found, trace=trace)

    def shown(self, found: Answer) -> list[Hit]:
        """Return what `found` was given from, best first."""
        return [self._shown[chunk_id] for chunk_id in found.trace["kept"]]

    def _took(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
