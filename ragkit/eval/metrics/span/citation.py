"""Citation precision and recall: the spans that an answer cites, against the evidence (defined in docs/metrics.md).

The run is the answer's citations, as a Retrieved; an answer without citations counts 0 in both.
"""

from __future__ import annotations

import numpy as np

from ragkit.eval.metrics.cutoff import Cutoff
from ragkit.eval.metrics.geometry import Floats, share
from ragkit.eval.metrics.measure import Option, declare
from ragkit.eval.metrics.scoring import Scoring
from ragkit.eval.metrics.span.options import UNIT
from ragkit.eval.metrics.span.references import SMALLEST_COVER, reference_share


def _precision(run: Scoring, cutoff: Cutoff | None) -> Floats:
    hits = run.layout.hits
    distinct = np.unique(np.column_stack(hits), axis=0)
    cited = np.bincount(distinct[:, 0], minlength=run.layout.queries)
    return share(run.ranking("chunks", cutoff, 0.0).relevant, cited)


CitationPrecision = declare(
    "CitationPrecision",
    "retrieval",
    _precision,
    "share of the distinct cited spans that overlap the evidence",
    cutoffs=frozenset(),
    needs="citations",
)

CitationRecall = declare(
    "CitationRecall",
    "retrieval",
    reference_share,
    "share of the references of which at least `cover` is cited",
    cutoffs=frozenset(),
    needs="citations",
    unit=UNIT,
    cover=Option(0.5, low=SMALLEST_COVER, high=1.0),
)
