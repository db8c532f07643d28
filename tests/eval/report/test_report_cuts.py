"""Retrieved tokens within a cut-off: the same as the harness's own measure of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.eval.hits import Hits
from ragkit.eval.metrics import evaluate
from ragkit.eval.report.cuts import cutoff, lower_is_better, retrieved_tokens
from ragkit.eval.results import SystemHits
from ragkit.eval.types import EvidenceSpan, Query, Retrieved

HITS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.integers(1, 40), st.integers(1, 9)), max_size=8)


@given(HITS, st.sampled_from(["", "@3", "@tokens(12)", "@chars(60)"]), st.sampled_from([None, "a"]))
def test_tokens_are_those_that_scoring_counts(found: list[tuple[str, int, int, int]], cut: str, scope: str | None):
    hits = SystemHits(
        documents=[document for document, _, _, _ in found],
        spans=[(start, start + length) for _, start, length, _ in found],
        tokens=[tokens for _, _, _, tokens in found],
        scores=[0.0] * len(found),
        seconds=0.0,
    )
    query = Query("q", "?", evidence=(EvidenceSpan("a", 0, 5),), scope=scope)
    spans = np.array(hits.spans, np.int64).reshape(-1, 2)
    retrieved = Retrieved(tuple(hits.documents), spans, np.array(hits.tokens, np.int64), np.zeros(len(found)))
    expected = evaluate([f"Tokens{cut}"], [query], [retrieved])[f"Tokens{cut}"][0]
    assert retrieved_tokens([scope], Hits.of([hits]), cutoff(f"Recall{cut}")).tolist() == [expected]


def test_a_cut_off_that_depends_on_the_corpus_gives_no_number():
    hits = SystemHits(documents=["a"], spans=[(0, 5)], tokens=[1], scores=[1.0], seconds=0.0)
    assert retrieved_tokens([None], Hits.of([hits]), cutoff("IoU@adaptive()")) is None


@pytest.mark.parametrize(("measure", "lower"), [("Recall@5", False), ("Tokens@5", True), ("a plugin's", False)])
def test_the_better_direction_is_that_of_the_declaration(measure: str, lower: bool):
    assert lower_is_better(measure) is lower


def test_an_unknown_measure_has_no_cut_off():
    assert cutoff("faithfulness (judge)") is None
