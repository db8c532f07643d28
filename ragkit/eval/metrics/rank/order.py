"""Putting hits into a reproducible order, for systems whose scores tie."""

from __future__ import annotations

import numpy as np

from ragkit.eval.types import Retrieved


def by_score(run: Retrieved) -> Retrieved:
    """Return the run in order of falling score, ties by document id, start and end (metrics.md 2).

    Retrievers return a total order already and scoring takes runs as they come; this is for runs made from a table
    of scores, such as a TREC file.
    """
    order = np.lexsort((run.spans[:, 1], run.spans[:, 0], np.array(run.documents, dtype=object), -run.scores))
    return Retrieved(
        tuple(run.documents[place] for place in order), run.spans[order], run.tokens[order], run.scores[order]
    )
