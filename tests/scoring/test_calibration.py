"""Calibrations: ranges, order, isotonic regression against its definition, errors."""

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError, UsageError
from ragkit.scoring.calibration import Isotonic, Plain, check_scorer
from ragkit.scoring.named import make_calibration

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@given(numbers, st.sampled_from(["none", "sigmoid", "clamp", "exp", "minmax"]))
def test_order_is_kept_and_ranges_hold(scores, name):
    values = Plain(name)(np.array(scores))
    assert values.shape == (len(scores),)
    assert all(np.diff(values[np.argsort(scores, kind="stable")]) >= 0)
    if name != "none":
        assert values.min() >= 0
        assert values.max() <= 1


def test_known_values():
    assert np.allclose(Plain("sigmoid")(np.array([4.0, 3.0, -1e5])), [0.9820, 0.9526, 0], atol=1e-4)
    assert Plain("clamp")(np.array([-0.2, 0.4, 1.1])).tolist() == [0.0, 0.4, 1.0]
    assert np.allclose(Plain("exp")(np.array([-1.0, 0.0])), [np.exp(-1), 1])
    assert Plain("minmax")(np.array([2.0, 4.0, 3.0])).tolist() == [0.0, 1.0, 0.5]
    assert Plain("minmax")(np.array([2.0, 2.0])).tolist() == [1.0, 1.0]
    assert Plain("minmax")(np.zeros(0)).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40))
def test_isotonic_rises_and_keeps_the_mean(judged):
    scores, relevant = [float(score) for score, _ in judged], [flag for _, flag in judged]
    fitted = Isotonic.fit(scores, relevant)
    values = fitted(np.array(scores))
    assert all(low <= high for low, high in pairwise(fitted.values))
    assert np.isclose(values.sum(), sum(relevant))  # a least-squares fit of steps keeps the total
    assert fitted(np.array([-5.0, 50.0])).tolist() == [fitted.values[0], fitted.values[-1]]


def test_isotonic_by_hand(tmp_path):
    fitted = Isotonic.fit([1, 2, 3, 4], [0, 1, 0, 1])  # 2 and 3 violate the order: both become 0.5
    assert fitted(np.array([1.0, 2.0, 3.0, 4.0, 3.5])).tolist() == [0.0, 0.5, 0.5, 1.0, 0.75]
    fitted.write(tmp_path / "fit.json")
    read = make_calibration({"name": "isotonic", "path": str(tmp_path / "fit.json")}, "logit")
    assert read == fitted
    assert read.trace()["points"] == 4
    assert read.trace()["hash"] != Isotonic((0.0,), (0.5,)).trace()["hash"]


def test_auto_follows_the_scale_or_the_advice():
    scales = {"probability": "none", "cosine": "clamp", "logit": "sigmoid", "unbounded": "none", None: "none"}
    assert {scale: make_calibration("auto", scale).name for scale in scales} == scales
    assert make_calibration("auto", "unbounded", "exp").name == "exp"
    assert make_calibration("minmax", "unbounded", "exp").trace() == {"name": "minmax"}


def test_errors(tmp_path):
    with pytest.raises(UsageError, match="2 scores came with 1"):
        Isotonic.fit([1, 2], [1])
    with pytest.raises(ConfigError, match="2 scores and 1 values"):
        Isotonic((1.0, 2.0), (0.5,))
    with pytest.raises(ConfigError, match="rising"):
        Isotonic((2.0, 1.0), (0.1, 0.5))
    with pytest.raises(ConfigError, match=r"from 0\.1 to 5"):
        Isotonic((1.0, 2.0), (0.1, 5.0))
    (tmp_path / "bad.json").write_text(json.dumps({"scores": [1]}))
    with pytest.raises(ConfigError, match="no isotonic calibration"):
        make_calibration({"name": "isotonic", "path": str(tmp_path / "bad.json")}, None)
    with pytest.raises(ConfigError, match="needs the option `path`"):
        make_calibration("isotonic", None)
    with pytest.raises(ConfigError, match="Did you mean 'sigmoid'"):
        make_calibration("sigmiod", None)
    with pytest.raises(ConfigError, match="no option 'slope'"):
        make_calibration({"name": "sigmoid", "slope": 2}, None)


def test_a_calibration_belongs_to_the_reranker_it_was_learnt_for(tmp_path):
    made = Isotonic((0.0, 1.0), (0.1, 0.9), "one")
    made.write(tmp_path / "calibration.json")
    assert Isotonic.read(tmp_path / "calibration.json") == made
    reranker = SimpleNamespace(name="bm25", fingerprint="one")
    check_scorer(made, reranker)
    check_scorer(Isotonic((0.0, 1.0), (0.1, 0.9)), SimpleNamespace(name="bm25", fingerprint="other"))
    with pytest.raises(ConfigError, match=r"another reranker than bm25.*ragkit train calibration"):
        check_scorer(made, SimpleNamespace(name="bm25", fingerprint="other"))
