"""How many hits measures look at: results keep so many and no more, and refuse measures that look deeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ragkit.errors import UsageError
from ragkit.eval.metrics import Measure
from ragkit.eval.results import SystemHits


@dataclass(frozen=True, slots=True)
class Depth:
    """The deepest cut-off of each kind; `everything` where a measure takes all hits."""

    chunks: int = 0
    documents: int = 0
    tokens: int = 0
    chars: int = 0
    everything: bool = False

    @classmethod
    def of(cls, measures: Sequence[Measure]) -> Depth:
        """Return how deep `measures` look."""
        deepest = dict.fromkeys(("chunks", "documents", "tokens", "chars"), 0)
        for measure in measures:
            if measure.cutoff is None or measure.cutoff.size is None:
                return cls(everything=True)
            kind = _kind(measure)
            deepest[kind] = max(deepest[kind], measure.cutoff.size)
        return cls(deepest["chunks"], deepest["documents"], deepest["tokens"], deepest["chars"])

    @classmethod
    def stored(cls, value: Mapping[str, int]) -> Depth:
        """Return the depth that `as_dict` described."""
        return cls(**{**value, "everything": bool(value["everything"])})  # type: ignore[arg-type] # sizes and one flag

    def as_dict(self) -> dict[str, int]:
        """Return the depth as it is stored."""
        return asdict(self)

    def kept(self, hits: SystemHits) -> SystemHits:
        """Return `hits` up to the deepest one that counts for any of the measures."""
        count = self._count(hits)
        if count == len(hits.documents):
            return hits
        return hits.model_copy(
            update={
                "documents": hits.documents[:count],
                "spans": hits.spans[:count],
                "tokens": hits.tokens[:count],
                "scores": hits.scores[:count],
                "ranks": hits.ranks[:count],
                "parts": hits.parts[:count],
            }
        )

    def check(self, measure: Measure) -> None:
        """Raise UsageError if `measure` looks deeper than this."""
        if self.everything:
            return
        size = None if measure.cutoff is None else measure.cutoff.size
        limit = getattr(self, _kind(measure)) if size is not None else 0
        if size is None or size > limit:
            raise UsageError(
                f"{measure} looks deeper than the hits that were kept.",
                hint="Add it to the experiment's measures and run again; hits that are known are not computed again.",
            )

    def _count(self, hits: SystemHits) -> int:
        """Return the number of hits to keep: a budget needs also the first that does not fit, which ends it."""
        if self.everything:
            return len(hits.documents)
        seen: set[str] = set()
        tokens = chars = 0
        for place, (document, span, length) in enumerate(zip(hits.documents, hits.spans, hits.tokens, strict=True)):
            by_document = len(seen) < self.documents
            if not (place < self.chunks or by_document or tokens <= self.tokens > 0 or chars <= self.chars > 0):
                return place
            seen.add(document)
            tokens += length
            chars += span[1] - span[0]
        return len(hits.documents)


def _kind(measure: Measure) -> str:
    """Return which of the depths the measure's cut-off belongs to."""
    kind = measure.cutoff.kind if measure.cutoff is not None else "k"
    if kind == "k":
        return "documents" if dict(measure.settings).get("unit") == "documents" else "chunks"
    return "chunks" if kind == "adaptive" else kind
