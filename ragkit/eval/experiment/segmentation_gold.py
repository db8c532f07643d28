"""The gold side of a segmentation set: units, boundaries between them, and which documents count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ragkit.errors import UsageError
from ragkit.eval.metrics.segmentation.units import Placed, Span, UnitKind, cuts_of, placed, units_of
from ragkit.eval.types import EvalSet


@dataclass(frozen=True, slots=True)
class Gold:
    """Units and gold boundaries of the documents that count, all by document id; `left_out` says what does not."""

    kind: UnitKind
    units: Mapping[str, list[Span]]
    boundaries: Mapping[str, Placed]
    left_out: Mapping[str, int]

    @property
    def counted(self) -> list[str]:
        """The documents that count, in the order of the set."""
        return list(self.boundaries)

    @property
    def positions(self) -> dict[str, list[int]]:
        """The gold boundaries of each counted document."""
        return {doc_id: list(found.positions) for doc_id, found in self.boundaries.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """The number of units of each counted document."""
        return {doc_id: len(spans) for doc_id, spans in self.units.items()}

    @property
    def inside(self) -> int:
        """Gold boundaries that stand within a unit."""
        return sum(found.inside for found in self.boundaries.values())


def gold_of(evalset: EvalSet, wanted: str = "auto") -> Gold:
    """Return the gold boundaries of `evalset` between units of the kind `wanted`.

    "auto" is the coarser kind, lines, where no gold boundary stands within a line and every document that has any has
    two lines; else sentences. A document counts if it has gold segments with at least one boundary between its units:
    without one BOR is undefined, and what chunkers do there is not compared. Raises UsageError where none counts.
    """
    kind: UnitKind = "sentences" if wanted == "sentences" else "lines"
    units = {doc_id: units_of(evalset.documents[doc_id].text, kind) for doc_id in evalset.segments}
    if wanted == "auto" and not _fits(evalset, units):
        kind = "sentences"
        units = {doc_id: units_of(evalset.documents[doc_id].text, kind) for doc_id in evalset.segments}
    boundaries = {
        doc_id: found
        for doc_id, segments in evalset.segments.items()
        if units[doc_id]
        and (found := placed(cuts_of(segments, evalset.documents[doc_id].text), units[doc_id])).positions
    }
    if not boundaries:
        raise UsageError(
            f"{evalset.name}: no document has a gold boundary between its {kind}.",
            hint="Give gold segments, at least two in a document, or other `units`.",
        )
    left_out = {
        "no gold segments": len(evalset.documents) - len(evalset.segments),
        "no gold boundary": len(evalset.segments) - len(boundaries),
    }
    return Gold(
        kind,
        {doc_id: units[doc_id] for doc_id in boundaries},
        boundaries,
        {reason: count for reason, count in left_out.items() if count},
    )


def _fits(evalset: EvalSet, units: Mapping[str, list[Span]]) -> bool:
    """Return whether all gold boundaries are ends of units."""
    return all(
        len(units[doc_id]) > 1 and placed(cuts_of(segments, evalset.documents[doc_id].text), units[doc_id]).inside == 0
        for doc_id, segments in evalset.segments.items()
        if len(segments) > 1
    )
