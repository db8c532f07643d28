"""Both enrichers with the real 135 M model on a short document: bounded, checked, and nothing else changed.

The lists of what is missing are left out: the model writes for a minute and none of it is of use (docs/enrichers.md).
"""

from __future__ import annotations

import warnings

import pytest

from ragkit.enrichers.facts import Vocabulary
from ragkit.enrichers.rewrite import RewriteEnricher
from ragkit.enrichers.summary import SummaryEnricher
from ragkit.errors import RagkitWarning

SHIP = "The Cutty Sark is a clipper ship built on the River Clyde in 1869.\nShe was sold in 1895 and renamed Ferreira."


@pytest.mark.models
def test_what_the_small_model_adds_is_backed_by_its_document(smollm, embedder, cut, same):
    batch = [cut(SHIP, "ship.txt")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RagkitWarning)
        completed = RewriteEnricher(smollm, embedder, threshold=1.0).enrich(batch)  # judged, none completed
        after = SummaryEnricher(smollm, embedder, stages=1, max_tokens=16).enrich(completed)
    same(batch, after)
    for item in after:
        for place, chunk in enumerate(item.chunks):
            assert chunk.metadata["summary_status"].startswith(("added", "dropped"))
            added = chunk.index_text.removesuffix(chunk.text)
            assert chunk.index_text.endswith(chunk.text)
            assert (chunk.metadata["summary_status"] == "added") == (added.count("\n") > 0)
            assert Vocabulary(item.document.text).invented(chunk.index_text) is None
            assert -1 <= chunk.metadata.get("rewrite_margin", 0) <= 1
            assert ("rewrite_margin" in chunk.metadata) == (place > 0)
