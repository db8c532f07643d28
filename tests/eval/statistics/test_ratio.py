"""Ratios of means with intervals: against closed forms, pairing, clusters, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ragkit.errors import UsageError
from ragkit.eval.statistics.ratio import ratio_interval, tradeoff


@given(arrays(np.float64, st.integers(2, 30), elements=st.floats(0.5, 100)), st.floats(0.1, 3))
def test_multiples_of_the_reference_have_no_spread(reference: Any, factor: float) -> None:
    found = ratio_interval(factor * reference, reference, resamples=200)
    assert found.estimate == pytest.approx(factor)
    assert found.low == pytest.approx(factor)
    assert found.high == pytest.approx(factor)


def test_is_the_ratio_of_means_and_near_the_delta_method() -> None:
    chance = np.random.default_rng(3)
    reference = chance.gamma(20.0, 45.0, 400)
    values = 0.5 * reference + chance.normal(0, 60, 400).clip(-150, 150) + 20
    found = ratio_interval(values, reference)
    assert found.estimate == pytest.approx(values.mean() / reference.mean())
    residual = (values - found.estimate * reference) / reference.mean()
    half = 1.96 * residual.std(ddof=1) / np.sqrt(400)
    assert found.low == pytest.approx(found.estimate - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.estimate + half, abs=0.1 * half)


def test_pairing_narrows_the_interval() -> None:
    chance = np.random.default_rng(4)
    reference = chance.gamma(2.0, 100.0, 200)
    values = 0.5 * reference + chance.normal(30, 5, 200)
    paired, shuffled = ratio_interval(values, reference), ratio_interval(chance.permutation(values), reference)
    assert paired.high - paired.low < 0.5 * (shuffled.high - shuffled.low)


def test_clusters_are_resampled_whole() -> None:
    reference, clusters = np.full(400, 100.0), [place // 10 for place in range(400)]
    values = np.where(np.arange(400) // 10 % 2, 70.0, 30.0)
    alone, whole = ratio_interval(values, reference), ratio_interval(values, reference, clusters)
    assert (alone.units, whole.units, whole.over) == (400, 40, "clusters")
    assert alone.estimate == whole.estimate == pytest.approx(0.5)
    assert whole.high - whole.low > 2.5 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("values", "reference", "words"),
    [([1.0, -1.0], [1.0, 1.0], "-1"), ([1.0, 1.0], [0.0, 0.0], "zeros"), ([1.0], [1.0, 2.0], "1 scores")],
)
def test_refuses_what_has_no_ratio(values: list[float], reference: list[float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ratio_interval(values, reference)


def test_a_tradeoff_needs_every_interval_below_the_bar() -> None:
    cost, gain = np.full(200, 40.0), np.full(200, 0.9)
    less = np.where(np.arange(200) // 20 == 0, 0.7, 0.9)  # one document of ten loses 20 points
    assert tradeoff(cost, cost * 2, gain, gain).within(0.6, 0.03)
    assert not tradeoff(cost, cost * 1.5, gain, gain).within(0.6, 0.03)
    loss = tradeoff(cost, cost * 2, less, gain)
    assert loss.loss.estimate == pytest.approx(0.02)
    assert not loss.within(0.6, 0.02)


def test_a_tradeoff_over_few_documents_has_no_clustered_intervals() -> None:
    values = np.ones(60)
    assert tradeoff(values, values, values, values, [place // 10 for place in range(60)]).clustered_loss is None
    found = tradeoff(values, values, values, values, [place // 3 for place in range(60)])
    assert found.clustered_loss is not None
    assert found.clustered_loss.units == 20


def test_a_tradeoff_that_holds_over_questions_may_fail_over_documents() -> None:
    documents = [place // 10 for place in range(400)]
    gain = np.where(np.array(documents) % 10 == 0, 0.75, 0.9)  # all questions of every tenth document
    cost = np.full(400, 40.0)
    found = tradeoff(cost, cost * 2, gain, np.full(400, 0.9), documents)
    assert found.loss.high < 0.025 < found.clustered_loss.high  # type: ignore[union-attr] # 40 documents
    assert not found.within(0.6, 0.025)
