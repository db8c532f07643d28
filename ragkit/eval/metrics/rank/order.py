"""Putting hits into a reproducible order, for systems whose scores tie."""

from __future__ import annotations

import numpy as np

from ragkit.eval.types import Retrieved


def by_score(run: Retrieved) -> Retrieved:
    """Return the run in order of falling score, ties by document id, start and end (metrics.md 2).

    Retrievers return a total order already and scoring takes runs as they come; this is for runs made from a table
    of scores, such as a TREC file.
    """
    keys = list(zip((-run.scores).tolist(), run.documents, run.spans.tolist(), strict=True))
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
    return Retrieved(
        tuple(run.documents[place] for place in order), run.spans[order], run.tokens[order], run.scores[order]
    )
