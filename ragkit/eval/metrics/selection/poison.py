"""How well a filter against poisoned chunks works, and what it costs in evidence (metrics.md 3)."""

from __future__ import annotations

from collections.abc import Hashable, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoisonCounts:
    """Counts of one filter run; add them over queries, then read the shares. Flagged is the positive class."""

    caught: int = 0
    false_alarms: int = 0
    missed: int = 0
    evidence_lost: int = 0
    evidence: int = 0

    def __add__(self, other: PoisonCounts) -> PoisonCounts:
        """Return the counts of both runs together."""
        return PoisonCounts(
            self.caught + other.caught,
            self.false_alarms + other.false_alarms,
            self.missed + other.missed,
            self.evidence_lost + other.evidence_lost,
            self.evidence + other.evidence,
        )

    @property
    def precision(self) -> float:
        """Flagged and poisoned / flagged; 0 if nothing was flagged."""
        return _share(self.caught, self.caught + self.false_alarms)

    @property
    def recall(self) -> float:
        """Flagged and poisoned / poisoned among the selected; 0 if none was poisoned."""
        return _share(self.caught, self.caught + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _share(2 * self.caught, 2 * self.caught + self.false_alarms + self.missed)

    @property
    def evidence_loss(self) -> float:
        """Clean gold chunks removed / clean gold chunks before; 0 if there were none."""
        return _share(self.evidence_lost, self.evidence)


def poison_counts(
    selected: Set[Hashable], flagged: Set[Hashable], poisoned: Set[Hashable], gold: Set[Hashable]
) -> PoisonCounts:
    """Return the counts for one query; only selected units count, `gold` are those with evidence."""
    flagged, poisoned = flagged & selected, poisoned & selected
    clean_gold = (gold & selected) - poisoned
    return PoisonCounts(
        caught=len(flagged & poisoned),
        false_alarms=len(flagged - poisoned),
        missed=len(poisoned - flagged),
        evidence_lost=len(clean_gold & flagged),
        evidence=len(clean_gold),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
