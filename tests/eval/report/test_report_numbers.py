"""Figures as they are written; the examples in the report's modules are run here."""

import doctest
import importlib
import math

import pytest

from ragkit.eval.report import numbers


@pytest.mark.parametrize("name", ["numbers", "excerpts", "drawing", "plots"])
def test_examples_hold(name: str):
    if name in ("drawing", "plots"):
        pytest.importorskip("matplotlib")
    found = doctest.testmod(importlib.import_module(f"ragkit.eval.report.{name}"))
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0004, "0.000"), (-0.0004, "0.000"), (9.9996, "10.000"), (99.96, "100.0"), (1e6, "1,000,000"), (math.inf, "–")],
)
def test_scores(value: float, text: str):
    assert numbers.score(value) == text


def test_a_difference_that_rounds_to_zero_has_no_sign():
    assert [numbers.difference(value) for value in (0.0001, -0.0001, math.nan)] == ["0.000", "0.000", "–"]


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (99.96, "100"), (0.00012, "0.00012"), (math.nan, "–")])
def test_quantities(value: float, text: str):
    assert numbers.quantity(value) == text
