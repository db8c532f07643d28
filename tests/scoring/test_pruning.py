"""Pruning and early exit: the worked example, equality with scoring one by one, the missed share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError
from ragkit.scoring.pruning import Pruning, score_candidates


def scorer(values):
    calls = []

    def score(places):
        calls.append(list(places))
        return np.array([values[place] for place in places])

    return score, calls


def test_the_worked_example_of_early_exit():
    score, _ = scorer([0.5, 0.7, 0.4, 0.6, 0.3, 0.2, 0.9])
    found = score_candidates(np.arange(7, 0, -1.0), Pruning(2, None, 2, audit=True), score)
    assert sorted(found.reasons) == [6]
    assert found.missed == 0.5  # .9 is missed; the true best two are .9 and .7
    assert found.trace() == {"scored": 6, "left_out": 1, "missed": 0.5}
    assert "early exit" in found.reasons[6]


def test_the_worked_example_of_pruning():
    score, calls = scorer(range(6))
    found = score_candidates(np.array([10, 9, 8, 7.9, 7.5, 6]), Pruning(3, 0.05), score)
    assert calls == [[0, 1, 2, 3]]
    assert sorted(found.reasons) == [4, 5]
    assert found.missed is None


def one_by_one(values, k, patience):
    best, failed = [], 0
    for place, value in enumerate(values):
        if len(best) < k:
            best.append(value)
        elif value > min(best):
            best.remove(min(best))
            best.append(value)
            failed = 0
        else:
            failed += 1
        if failed == patience:
            return place + 1
    return len(values)


@given(st.lists(st.integers(0, 20), max_size=25), st.integers(1, 5), st.integers(1, 4))
def test_blocks_score_what_one_by_one_would(values, k, patience):
    score, calls = scorer(values)
    found = score_candidates(np.zeros(len(values)), Pruning(k, None, patience), score)
    scored = one_by_one(values, k, patience)
    assert [place for call in calls for place in call] == list(range(scored))
    assert sorted(found.reasons) == list(range(scored, len(values)))
    assert np.isfinite(found.scores[:scored]).all()


def test_fewer_candidates_than_k_are_all_scored():
    score, _ = scorer([0.1, 0.2])
    assert not score_candidates(np.array([2.0, 1.0]), Pruning(5, 0.01, 1), score).reasons


def test_wrong_settings():
    with pytest.raises(ConfigError, match="patience"):
        Pruning(patience=0)
    with pytest.raises(ConfigError, match="alpha is 3"):
        Pruning(alpha=3)
