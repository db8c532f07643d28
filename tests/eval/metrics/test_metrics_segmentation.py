"""Segmentation metrics: the worked examples, nltk and segeval as oracles, and their symmetries."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import segeval
from hypothesis import given
from hypothesis import strategies as st
from nltk.metrics import segmentation as nltk_segmentation

from ragkit.errors import UsageError
from ragkit.eval.metrics import at_random, boundary_positions, equally_spaced, evaluate_segments
from ragkit.eval.metrics.segmentation.windows import window


def value(measure: str, gold: Sequence[int], predicted: Sequence[int], n: int) -> float:
    return float(evaluate_segments([measure], [gold], [predicted], [n])[measure][0])


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("BoundaryP", 0.25),
        ("BoundaryR", 1.0),
        ("BoundaryF1", 0.4),
        ("BOR", 4.0),
        ("Purity", 1.0),
        ("Coverage", 5 / 12),
        ("Pk", 6 / 9),
        ("WindowDiff", 7 / 9),
    ],
)
def test_example_k(measure: str, expected: float):
    assert value(measure, [6], [2, 4, 6, 9], 12) == pytest.approx(expected)
    assert window(frozenset({6}), 12) == 3


def test_example_l():
    assert value("WF1", [6, 10], [5, 8, 10], 14) == pytest.approx(0.8)
    assert value("BoundaryF1", [6, 10], [5, 8, 10], 14) == pytest.approx(0.4)
    assert value("WF1(w=0)", [6, 10], [5, 8, 10], 14) == pytest.approx(0.4)


def test_boundary_similarity_example_of_the_documentation():
    assert value("BoundarySimilarity", [4, 8], [5, 8, 10], 12) == pytest.approx(0.5)
    assert value("BoundarySimilarity(n_t=1)", [4, 8], [5, 8, 10], 12) == pytest.approx(0.25)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    n = draw(st.integers(2, 24))
    positions = st.sets(st.integers(1, n - 1))
    return n, sorted(draw(positions)), sorted(draw(positions))


def marks(boundaries: Sequence[int], n: int) -> str:
    return "".join("1" if position in boundaries else "0" for position in range(1, n))


def masses(boundaries: Sequence[int], n: int) -> tuple[int, ...]:
    edges = [0, *boundaries, n]
    return tuple(last - first for first, last in pairwise(edges))


@given(cases(), st.integers(2, 6))
def test_window_diff_and_pk_against_nltk(case: tuple[int, list[int], list[int]], k: int):
    n, gold, predicted = case
    if k > n - 1:
        return
    theirs = nltk_segmentation.windowdiff(marks(gold, n), marks(predicted, n), k)
    assert value(f"WindowDiff(k={k})", gold, predicted, n) == pytest.approx(theirs)
    same = nltk_segmentation.pk(marks(gold, n), marks(predicted, n), k)
    assert value(f"Pk(k={k})", gold, predicted, n) == pytest.approx(same)


@given(cases(), st.integers(1, 4))
def test_boundary_similarity_against_segeval(case: tuple[int, list[int], list[int]], n_t: int):
    n, gold, predicted = case
    if not gold and not predicted:
        return  # the peer fails
    theirs = segeval.boundary_similarity(masses(gold, n), masses(predicted, n), n_t=max(n_t, 2))
    assert value(f"BoundarySimilarity(n_t={max(n_t, 2)})", gold, predicted, n) == pytest.approx(float(theirs))


@given(cases())
def test_purity_and_coverage_against_all_overlaps(case: tuple[int, list[int], list[int]]):
    n, gold, predicted = case
    cut = {name: [0, *edges, n] for name, edges in (("gold", gold), ("predicted", predicted))}
    pieces = {name: [set(range(*pair)) for pair in pairwise(edges)] for name, edges in cut.items()}
    purity = sum(max(len(mine & theirs) for theirs in pieces["gold"]) for mine in pieces["predicted"]) / n
    assert value("Purity", gold, predicted, n) == pytest.approx(purity)
    assert value("Purity", gold, predicted, n) == value("Coverage", predicted, gold, n)


MEASURES = ["BoundaryP", "BoundaryR", "BoundaryF1", "WF1", "Purity", "Coverage", "BoundarySimilarity"]


@given(cases())
def test_ranges_and_symmetry(case: tuple[int, list[int], list[int]]):
    n, gold, predicted = case
    for measure in [*MEASURES, "Pk", "WindowDiff"]:
        assert 0 <= value(measure, gold, predicted, n) <= 1
    for measure in MEASURES:
        assert value(measure, gold, gold, n) == pytest.approx(1.0)
    for measure in ("BoundaryF1", "WF1", "BoundarySimilarity"):
        assert value(measure, gold, predicted, n) == pytest.approx(value(measure, predicted, gold, n))
    assert value("Pk", gold, gold, n) == value("WindowDiff", gold, gold, n) == 0.0
    assert value("BoundaryP", gold, predicted, n) == value("BoundaryR", predicted, gold, n)
    assert value("BoundaryF1", gold, predicted, n) <= value("WF1", gold, predicted, n) + 1e-12
    assert value("WF1(w=2)", gold, predicted, n) >= value("WF1", gold, predicted, n) - 1e-12


def test_edges():
    assert value("BoundaryF1", [], [], 5) == value("BoundaryP", [], [], 5) == value("WF1", [], [], 5) == 1.0
    assert value("BoundaryF1", [1], [], 5) == value("BoundaryP", [1], [], 5) == value("BoundaryR", [], [1], 5) == 0.0
    assert value("Pk", [1], [], 2) == 1.0
    assert value("BoundarySimilarity", [], [], 5) == 1.0
    with pytest.raises(UsageError, match="BOR is undefined"):
        value("BOR", [], [1], 5)
    with pytest.raises(UsageError, match="Document 1 has the boundary 5; positions from 1 to 4"):
        evaluate_segments(["Pk"], [[1], [5]], [[1], [1]], [5, 5])


def test_documents_of_one_unit_are_left_out_by_index():
    scores = evaluate_segments(["Pk", "Purity"], [[], [3]], [[], [3]], [1, 6])
    assert scores.counted.tolist() == [1]
    assert scores["Purity"].tolist() == [1.0]


def test_boundaries_fall_before_the_nearest_unit():
    units = [(0, 9), (10, 19), (20, 29), (30, 40)]
    assert boundary_positions([(0, 10), (10, 31), (31, 40)], units) == [1, 3]
    assert boundary_positions([(0, 15), (15, 40)], units) == [1]
    assert boundary_positions([(0, 16), (16, 40)], units) == [2]
    assert boundary_positions([(0, 3), (3, 40)], units) == []
    assert boundary_positions([(0, 39), (39, 40)], units) == []  # nearer to the end of the text than to 30
    assert boundary_positions([], units) == []
    with pytest.raises(UsageError):
        boundary_positions([(0, 3)], [])


@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))), st.integers(0, 9))
def test_baselines_have_the_count_asked_for(case: tuple[int, int], seed: int):
    n, count = case
    for found in (equally_spaced(count, n), at_random(count, n, seed)):
        assert found == sorted(set(found))
        assert len(found) == count
        assert all(0 < position < n for position in found)
    sizes = masses(equally_spaced(count, n), n)
    assert max(sizes) - min(sizes) <= 1
    assert at_random(count, n, seed) == at_random(count, n, seed)


def test_baselines_refuse_more_boundaries_than_places():
    with pytest.raises(UsageError, match="5 boundaries between 5 units"):
        equally_spaced(5, 5)
    with pytest.raises(UsageError):
        at_random(-1, 5, 0)


def test_the_window_is_at_least_two_units_and_fits():
    assert window(frozenset({1, 2, 3}), 4) == 2
    assert window(frozenset({1}), 2) == 1
    assert window(frozenset(), 10) == 5
    assert window(frozenset({5}), 10) == 3  # 2.5 rounds up
