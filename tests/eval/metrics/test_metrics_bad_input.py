"""Wrong queries, runs and tables: each is refused by name, none is scored as zero."""

import numpy as np
import pytest

from ragkit.errors import UsageError
from ragkit.eval.metrics import IoU, PrecisionOmega, Recall, evaluate, evaluate_answers, evaluate_segments
from ragkit.eval.types import EvidenceSpan, Query, Retrieved
from tests.eval.metrics.small import query, run

GOOD = query(("d", 0, 10), name="good")


@pytest.mark.parametrize("span", [(5, 5), (7, 3), (-1, 4)])
def test_a_wrong_evidence_span_names_query_and_document(span: tuple[int, int]):
    bad = Query("bad", "?", evidence=(EvidenceSpan("d9", *span),))
    with pytest.raises(UsageError, match=rf"Query 'bad' has the evidence span \[{span[0]}, {span[1]}\) in 'd9'"):
        evaluate([Recall], [GOOD, bad], [run(), run()])


@pytest.mark.parametrize(
    "found",
    [
        Retrieved(("d",), np.array([[5, 3]]), np.array([1]), np.array([1.0])),
        Retrieved(("d",), np.array([[-5, 3]]), np.array([1]), np.array([1.0])),
        Retrieved(("d",), np.array([[5, 9]]), np.array([-1]), np.array([1.0])),
    ],
)
def test_a_wrong_hit_names_the_query(found: Retrieved):
    with pytest.raises(UsageError, match="The run of query 'second' has the span"):
        evaluate([Recall], [GOOD, query(("d", 0, 10), name="second")], [run(("d", 0, 1)), found])


@pytest.mark.parametrize(
    "found",
    [
        Retrieved(("d", "d"), np.array([[5, 9]]), np.array([1]), np.array([1.0])),
        Retrieved(("d",), np.array([[5, 9]]), np.array([1, 1]), np.array([1.0])),
        Retrieved(("d",), np.array([[5, 9]]), np.array([1]), np.array([])),
        Retrieved(("d",), np.array([5]), np.array([1]), np.array([1.0])),
    ],
)
def test_arrays_that_are_not_parallel_name_the_query(found: Retrieved):
    with pytest.raises(UsageError, match="The run of query 'good'"):
        evaluate([Recall], [GOOD], [found])


def test_numbers_of_queries_and_runs_must_match():
    with pytest.raises(UsageError, match="2 queries and 1 runs were given"):
        evaluate([Recall], [GOOD, GOOD], [run()])
    with pytest.raises(UsageError, match="1 queries and 0 answers were given"):
        evaluate_answers(["EM"], [GOOD], [])
    with pytest.raises(UsageError, match="1 gold segmentations, 1 predicted ones and 0 sizes"):
        evaluate_segments(["Pk"], [[1]], [[1]], [])


def test_what_a_measure_needs_is_asked_for():
    with pytest.raises(UsageError, match="needs to know all chunks of the corpus"):
        evaluate([PrecisionOmega], [GOOD], [run()])
    with pytest.raises(UsageError, match="'d' holds evidence, but no chunks are given"):
        evaluate([PrecisionOmega], [GOOD], [run()], chunks={"e": np.array([(0, 5)])})
    with pytest.raises(UsageError, match=r"needs the token spans"):
        evaluate([IoU(unit="tokens")], [GOOD], [run()])
    with pytest.raises(UsageError, match="no token spans for the document 'e'"):
        evaluate([IoU(unit="tokens")], [GOOD], [run(("e", 0, 5))], token_spans={"d": np.array([(0, 5)])})
    with pytest.raises(UsageError, match="token spans of the document 'd' are not in order"):
        evaluate([IoU(unit="tokens")], [GOOD], [run()], token_spans={"d": np.array([(5, 9), (0, 5)])})
    with pytest.raises(UsageError, match="No token overlaps the evidence of query 'good'"):
        evaluate([IoU(unit="tokens")], [GOOD], [run()], token_spans={"d": np.array([(20, 25)])})


def test_measures_of_another_family_are_refused():
    with pytest.raises(
        UsageError, match=r"EM is a measure of answer; one of retrieval was expected. Use evaluate_answers"
    ):
        evaluate(["EM"], [GOOD], [run()])
    with pytest.raises(UsageError, match=r"Use evaluate\(\)"):
        evaluate_answers(["Recall@5"], [GOOD], ["x"])
    with pytest.raises(UsageError, match=r"Use evaluate_segments\(\)"):
        evaluate_answers(["Pk"], [GOOD], ["x"])


def test_a_mean_over_no_query_is_refused():
    with pytest.raises(UsageError, match="No query counts"):
        evaluate([Recall], [Query("q", "?")], [run()]).means()


def test_offsets_too_large_for_64_bits_are_refused():
    with pytest.raises(UsageError, match="Look for a span with a wrong offset"):
        evaluate([Recall], [GOOD], [run(("d", 0, 2**63 - 2))])
    with pytest.raises(UsageError, match="Look for a span with a wrong offset"):
        evaluate([Recall], [GOOD], [run(*((f"d{number}", 0, 2**62) for number in range(9)))])


def test_very_long_documents_are_exact():
    far = 2**50
    scores = evaluate([Recall, IoU], [query(("d", far, far + 10))], [run(("d", far + 5, far + 12))])
    assert scores.means() == {"Recall": 0.5, "IoU": pytest.approx(5 / 12)}
