"""Rank metrics against ir_measures (trec_eval's own code) and their properties."""

import ir_measures
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ragkit.errors import UsageError
from ragkit.eval.metrics import AP, F1, RR, Hit, P, R, by_score, evaluate, nDCG, top_percentile_recall
from ragkit.eval.types import Retrieved
from tests.eval.metrics.small import query, run

UNITS = [(start, start + 10) for start in range(0, 120, 10)]
CHUNKS = {"d": np.array(UNITS)}
GRADES = st.lists(st.integers(0, 3), min_size=len(UNITS), max_size=len(UNITS)).filter(any)
ORDERS = st.permutations(range(len(UNITS))).flatmap(lambda order: st.integers(0, 12).map(lambda size: order[:size]))
CASES = st.lists(st.tuples(GRADES, ORDERS), min_size=1, max_size=4)

PAIRS = {
    "Hit@{k}": "Success@{k}",
    "P@{k}": "P@{k}",
    "R@{k}": "R@{k}",
    "RR": "RR",
    "AP": "AP",
    "AP@{k}": "AP@{k}",
    "nDCG": "nDCG",
    "nDCG@{k}": "nDCG@{k}",
    'nDCG(gain="exponential")@{k}': "nDCG(gains={0: 0, 1: 1, 2: 3, 3: 7})@{k}",
}


def trec(cases: list[tuple[list[int], list[int]]]) -> tuple[dict, dict]:
    qrels = {str(q): {str(unit): grade for unit, grade in enumerate(grades)} for q, (grades, _) in enumerate(cases)}
    runs = {str(q): {str(unit): -float(rank) for rank, unit in enumerate(order)} for q, (_, order) in enumerate(cases)}
    return qrels, runs


def asked(grades: list[int], document: str = "d"):
    found = [(unit, grade) for unit, grade in enumerate(grades) if grade]
    spans = [(document, *UNITS[unit]) for unit, _ in found]
    return query(*spans, grades=[float(grade) for _, grade in found])


@given(CASES, st.integers(1, 13))
def test_trec_eval_gives_the_same(cases: list[tuple[list[int], list[int]]], k: int):
    qrels, trec_runs = trec(cases)
    queries = [asked(grades) for grades, _ in cases]
    runs = [run(*(("d", *UNITS[unit]) for unit in order)) for _, order in cases]
    ours = evaluate([name.replace("{k}", str(k)) for name in PAIRS], queries, runs, chunks=CHUNKS)
    for name, peer in PAIRS.items():
        measure = ir_measures.parse_measure(peer.replace("{k}", str(k)))
        theirs = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], qrels, trec_runs)}
        expected = [theirs[str(q)] for q in range(len(cases))]
        assert ours[name.replace("{k}", str(k))] == pytest.approx(expected, abs=1e-6), name


@given(CASES, st.integers(1, 13))
def test_documents_rank_where_their_first_chunk_does(cases: list[tuple[list[int], list[int]]], k: int):
    names = [f"d{unit}" for unit in range(len(UNITS))]
    queries, runs = [], []
    for grades, order in cases:
        gold = [(names[unit], grade) for unit, grade in enumerate(grades) if grade]
        # a weaker passage of the same document does not change its grade
        places = [place for name, _ in gold for place in ((name, 0, 100), (name, 200, 300))]
        queries.append(query(*places, grades=[float(value) for _, grade in gold for value in (grade, 1)]))
        runs.append(run(*(place for unit in order for place in ((names[unit], 500, 600), (names[order[0]], 0, 9)))))
    qrels, trec_runs = trec(cases)
    for name, peer in (("nDCG", "nDCG"), ("R", "R"), ("AP", "AP"), ("Hit", "Success"), ("P", "P")):
        measure = ir_measures.parse_measure(f"{peer}@{k}")
        theirs = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], qrels, trec_runs)}
        ours = evaluate([f'{name}(unit="documents")@{k}'], queries, runs)[f'{name}(unit="documents")@{k}']
        assert ours == pytest.approx([theirs[str(q)] for q in range(len(cases))], abs=1e-6)


@given(GRADES, ORDERS, st.integers(1, 13))
def test_orders_between_measures(grades: list[int], order: list[int], k: int):
    found = run(*(("d", *UNITS[unit]) for unit in order))
    values = evaluate(
        [RR @ k, Hit @ k, AP @ k, R @ k, P @ k, F1 @ k, nDCG @ k], [asked(grades)], [found], chunks=CHUNKS
    )
    assert all(0 <= value[0] <= 1 + 1e-12 for value in values.values())
    assert values[RR @ k][0] <= values[Hit @ k][0]
    assert values[AP @ k][0] <= values[R @ k][0] + 1e-12
    precision, recall = values[P @ k][0], values[R @ k][0]
    assert values[F1 @ k][0] == pytest.approx(2 * precision * recall / (precision + recall) if precision else 0.0)


@pytest.mark.parametrize("gain", ["linear", "exponential"])
@given(GRADES, st.integers(1, 13))
def test_the_ideal_order_scores_one(gain: str, grades: list[int], k: int):
    best = sorted(range(len(grades)), key=lambda unit: -grades[unit])
    found = run(*(("d", *UNITS[unit]) for unit in best))
    measure = nDCG(gain=gain) @ k
    assert evaluate([measure], [asked(grades)], [found], chunks=CHUNKS)[measure][0] == pytest.approx(1.0)


def test_a_repeated_chunk_is_relevant_once():
    found = run(("d", 0, 10), ("d", 0, 10), ("d", 10, 20))
    scores = evaluate(["P@3", "R@3", "AP", "nDCG"], [query(("d", 0, 10))], [found], chunks=CHUNKS).means()
    assert scores == {"P@3": pytest.approx(1 / 3), "R@3": 1.0, "AP": 1.0, "nDCG": 1.0}


@pytest.mark.parametrize(("cover", "hits", "size"), [(0.0, 1, 3), (0.3, 1, 3), (0.4, 1, 1), (0.5, 0, 0)])
def test_min_cover_decides_on_relevance(cover: float, hits: int, size: int):
    # of 20 characters the chunks hold 6, 6 and 8
    chunks = {"d": np.array([(0, 10), (10, 16), (16, 30)])}
    evidence = query(("d", 4, 24))
    values = evaluate([Hit(min_cover=cover), R(min_cover=cover)], [evidence], [run(("d", 16, 30))], chunks=chunks)
    assert [float(found[0]) for found in values.values()] == [hits, 1 / size if size else 0.0]


def test_a_budget_keeps_the_set_measures_without_k():
    found = run(("d", 0, 10), ("d", 50, 60), ("d", 10, 20), tokens=[4, 4, 4])
    scores = evaluate(
        ["P@tokens(8)", "R@tokens(8)", "Hit@tokens(3)", "P@tokens(3)", 'P(unit="documents")@tokens(8)'],
        [query(("d", 0, 20))],
        [found],
        chunks=CHUNKS,
    )
    assert list(scores.means().values()) == [0.5, 0.5, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("name", ["RR", "AP", "DCG", "nDCG"])
def test_measures_of_order_refuse_document_order(name: str):
    with pytest.raises(UsageError, match=r"needs hits in order of score; those of query 'q' are not \(1 such"):
        evaluate([name], [query(("d", 0, 10))], [run(("d", 0, 10), ranked=False)], chunks=CHUNKS)


def test_a_cutoff_refuses_document_order_only_where_it_cuts():
    found = run(("d", 0, 10), ("d", 20, 30), ranked=False)
    assert evaluate(["Recall@2"], [query(("d", 0, 10))], [found]).means() == {"Recall@2": 1.0}
    with pytest.raises(UsageError, match="A cut-off @1 needs hits in order of score"):
        evaluate(["Recall@1"], [query(("d", 0, 10))], [found])


def test_hits_that_are_no_chunks_of_the_corpus_are_refused():
    found = run(("d", 0, 5), ("d", 5, 10), ("d", 0, 10))
    with pytest.raises(UsageError, match=r"got 3 relevant chunks, but the chunks given .* hold only 1"):
        evaluate(["R"], [query(("d", 0, 10))], [found], chunks=CHUNKS)


def test_ties_are_broken_by_unit():
    found = Retrieved(
        ("b", "a", "a", "c"),
        np.array([(0, 5), (9, 12), (0, 4), (0, 1)]),
        np.array([1, 2, 3, 4]),
        np.array([1.0, 1.0, 1.0, 2.0]),
        ranked=False,
    )
    tidy = by_score(found)
    assert tidy.documents == ("c", "a", "a", "b")
    assert tidy.spans.tolist() == [[0, 1], [0, 4], [9, 12], [0, 5]]
    assert tidy.tokens.tolist() == [4, 3, 2, 1]
    assert tidy.ranked
    assert by_score(run()).spans.shape == (0, 2)


def test_top_percentile_recall_is_a_recall():
    silver = {f"u{number}": float(number) for number in range(101)}
    assert top_percentile_recall(["u100", "u1", "u97"], silver, k=3) == pytest.approx(2 / 6)
    assert top_percentile_recall(["u100", "u1", "u97"], silver, k=1, p=100) == 1.0


@pytest.mark.parametrize(
    ("silver", "k", "p"), [({}, 1, 95.0), ({"a": 1.0}, 0, 95.0), ({"a": 1.0}, 1, 101.0), ({"a": float("nan")}, 1, 95.0)]
)
def test_top_percentile_recall_refuses(silver: dict[str, float], k: int, p: float):
    with pytest.raises(UsageError):
        top_percentile_recall(["a"], silver, k, p)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(1, 9))
def test_ap_norm_divides_by_what_fits(order: list[int], k: int):
    assume(len(set(order)) == len(order))
    evidence = query(*(("d", *UNITS[unit]) for unit in range(5)))
    found = run(*(("d", *UNITS[unit]) for unit in order))
    values = evaluate([AP @ k, AP(ap_norm=True) @ k], [evidence], [found], chunks=CHUNKS)
    assert values[AP(ap_norm=True) @ k][0] == pytest.approx(values[AP @ k][0] * 5 / min(5, k))
