"""Cuts anywhere in a text as positions between its units, against the definition read out loud."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import UsageError
from ragkit.eval.metrics import evaluate_segments
from ragkit.eval.metrics.segmentation.units import cuts_of, placed, units_of

TEXT = "One fish. Two fish.\nRed fish.\n\n  Blue fish. \n"


def test_lines_and_sentences_hold_what_is_visible():
    assert [TEXT[a:b] for a, b in units_of(TEXT, "lines")] == ["One fish. Two fish.", "Red fish.", "Blue fish."]
    assert [TEXT[a:b] for a, b in units_of(TEXT, "sentences")] == ["One fish.", "Two fish.", "Red fish.", "Blue fish."]
    assert units_of(" \n\n ", "lines") == []


def test_cuts_go_to_the_nearest_border_and_are_counted():
    units = [(0, 10), (11, 20), (22, 30)]
    assert placed([11, 22], units) == placed([10, 21], units)  # the end of a unit and the start of the next are one
    assert placed([11, 22], units).positions == (1, 2)
    found = placed([3, 14, 17, 29], units)  # to 0, to 11, to 22, to the end
    assert (found.positions, found.inside, found.lost) == ((1, 2), 4, 2)
    assert placed([17, 18], units).positions == (2,)
    assert placed([], units).positions == ()
    with pytest.raises(UsageError, match="no units"):
        placed([1], [])


def nearest(cut: int, units: list[tuple[int, int]]) -> int:
    """Return the position by the rule of the documentation, one border after the other."""
    inside = next((place for place, (start, end) in enumerate(units) if start < cut < end), None)
    if inside is None:
        return sum(end <= cut for _, end in units)
    after = units[inside + 1][0] if inside + 1 < len(units) else units[inside][1]
    return inside if cut - units[inside][0] <= after - cut else inside + 1


@st.composite
def laid_out(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[int]]:
    units, at = [], draw(st.integers(0, 3))
    for length, gap in draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=8)):
        units.append((at, at + length))
        at += length + gap
    return units, draw(st.lists(st.integers(0, at + 2), max_size=8))


@given(laid_out())
def test_placing_agrees_with_the_rule(case):
    units, cuts = case
    found = placed(cuts, units)
    wanted = {nearest(cut, units) for cut in cuts}
    assert set(found.positions) == wanted - {0, len(units)}
    assert found.inside == sum(any(start < cut < end for start, end in units) for cut in cuts)
    assert found.lost == len(cuts) - len(found.positions)


@given(st.lists(st.text(st.sampled_from("ab. "), max_size=12), max_size=6))
def test_starts_of_units_are_their_own_positions(lines):
    text = "\n".join(lines)
    for kind in ("lines", "sentences"):
        units = units_of(text, kind)
        assert all(text[a:b] == text[a:b].strip() != "" for a, b in units)
        if units:
            found = placed([start for start, _ in units], units)
            assert (found.positions, found.inside) == (tuple(range(1, len(units))), 0)


def test_topics_may_overlap_repeat_and_leave_gaps():
    text = "x" * 60
    assert cuts_of([(0, 10), (10, 30)], text) == [0, 10, 30]
    assert cuts_of([(20, 30), (0, 25), (40, 50), (20, 30)], text) == [0, 20, 25, 30, 40, 50]
    assert cuts_of([(0, 2), (4, 6)], "ab  cd  ") == [0, 4, 8]


def test_the_worked_example_of_the_documentation():
    found = placed([14, 17, 22], [(0, 10), (11, 20), (22, 30)])
    assert (found.positions, found.inside, found.lost) == ((1, 2), 2, 1)


SAME = ("WF1", "BoundaryP", "BoundaryR", "BoundaryF1", "BoundarySimilarity")


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([], {**dict.fromkeys(SAME, 1.0), "Pk": 0.0, "WindowDiff": 0.0, "Purity": 1.0, "Coverage": 1.0}),
        ([3], {**dict.fromkeys(SAME, 0.0), "Pk": 0.75, "WindowDiff": 0.75, "Purity": 1.0, "Coverage": 5 / 8}),
    ],
)
def test_a_document_without_gold_boundaries_is_scored_as_documented(predicted, expected):
    scores = evaluate_segments(list(expected), [[]], [predicted], [8])
    assert {name: float(scores[name][0]) for name in expected} == pytest.approx(expected)
    with pytest.raises(UsageError, match="BOR is undefined"):
        evaluate_segments(["BOR"], [[]], [predicted], [8])


def test_nothing_predicted_and_a_single_unit():
    scores = evaluate_segments(["WF1", "BOR", "BoundaryP", "BoundaryR"], [[4], []], [[], []], [8, 1])
    assert scores.counted.tolist() == [0]
    assert all(scores[name].tolist() == [0.0] for name in scores)
