"""How much a selector kept: units, tokens, and whether anything."""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats, totals
from ragkit.eval.metrics.measure import declare
from ragkit.eval.metrics.scoring import Scoring


def _units(run: Scoring, cutoff: Cutoff | None) -> Floats:
    kept = run.kept(cutoff)
    query = run.layout.hits.query
    counts = np.bincount(query if kept is None else query[kept], minlength=run.layout.queries)
    return counts.astype(np.float64)


def _tokens(run: Scoring, cutoff: Cutoff | None) -> Floats:
    kept = run.kept(cutoff)
    counts = run.layout.tokens if kept is None else np.where(kept, run.layout.tokens, 0)
    return totals(run.layout.hits.query, counts, run.layout.queries)


def _empty(run: Scoring, cutoff: Cutoff | None) -> Floats:
    return np.where(_units(run, cutoff) == 0, 1.0, 0.0)


Units = declare("Units", "retrieval", _units, "how many chunks were returned", lower_is_better=True)

Tokens = declare("Tokens", "retrieval", _tokens, "how many tokens were returned", lower_is_better=True)

Empty = declare("Empty", "retrieval", _empty, "1 if nothing was returned, else 0", lower_is_better=True)
