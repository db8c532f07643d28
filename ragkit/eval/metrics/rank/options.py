"""Options that all rank measures share."""

from __future__ import annotations

from ragkit.eval.metrics.cutoff import CutoffKind
from ragkit.eval.metrics.measure import Option

UNIT = Option("chunks", choices=("chunks", "documents"))
"""What is ranked: chunks, or documents (each where its first chunk stands)."""

MIN_COVER = Option(0.0, low=0.0, high=1.0)
"""Share of a reference that a chunk must cover to be relevant; 0 means any overlap. Not used for documents."""

ONLY_K: frozenset[CutoffKind] = frozenset({"k"})
