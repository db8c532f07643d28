"""Learning the weights of fused views: the gradient by differences, a known direction, too few sets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from ragkit.errors import UsageError
from ragkit.models.hashing import HashingEmbedder
from ragkit.selectors.extractive_fusion import FusedSentences
from ragkit.train.mining import asked_of
from ragkit.train.sentence_weights import _loss, fitted, learnt
from tests.train.conftest import make_set


def drawn(questions: int, seed: int = 0):
    """Return views whose second column alone says where the evidence is, against noise in the two others."""
    rng = np.random.default_rng(seed)
    views, labels = [], []
    for _ in range(questions):
        marks = np.zeros(12, np.int64)
        marks[rng.integers(12)] = 1
        one = rng.normal(size=(12, 3))
        one[:, 1] += 3.0 * marks
        views.append(one)
        labels.append(marks)
    return views, labels


def test_the_gradient_is_that_of_the_loss():
    views, labels = drawn(4)
    groups = [(one[marks == 1], one[marks == 0], 0.25) for one, marks in zip(views, labels, strict=True)]
    at = np.array([0.3, -0.2, 0.5])
    slope = approx_fprime(at, lambda weights: _loss(weights, groups)[0])
    np.testing.assert_allclose(_loss(at, groups)[1], slope, atol=1e-5)


def test_the_view_that_tells_gets_the_weight():
    weights = fitted([drawn(60)])
    assert weights[1] > 5 * abs(weights[[0, 2]]).max()


def test_every_set_is_judged_by_weights_of_the_others(tmp_path, config):
    asked = {name: asked_of(make_set(name, 3), tmp_path / name, config, k=8) for name in ("first", "second")}
    found = learnt(asked, FusedSentences(HashingEmbedder()))
    assert len(found["weights"]) == 5
    assert found["learnt_from"] == {"first": 30, "second": 30}
    assert set(found["left_out"]) == {"first", "second"}
    with pytest.raises(UsageError, match="two or more"):
        learnt({"first": asked["first"]}, FusedSentences(HashingEmbedder()))


def test_without_evidence_nothing_is_learnt():
    views, labels = drawn(2)
    with pytest.raises(UsageError, match="No question has evidence"):
        fitted([(views, [np.zeros_like(marks) for marks in labels])])
