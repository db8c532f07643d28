"""A grader's calibration belongs to its reranker."""

import pytest

from ragkit.budget import Budget
from ragkit.controllers.grading import RerankerGrader
from ragkit.errors import ConfigError
from ragkit.models.hashing import HashingEmbedder
from ragkit.rerankers.cosine import CosineReranker
from ragkit.scoring.calibration import Isotonic


def test_one_that_was_learnt_from_another_reranker_is_refused(tmp_path):
    reranker, path = CosineReranker(HashingEmbedder()), tmp_path / "curve.json"
    named = {"name": "isotonic", "path": str(path)}
    Isotonic((-1.0, 1.0), (0.1, 0.9), reranker.fingerprint).write(path)
    assert RerankerGrader(reranker, named).grades("cat", ["a cat"], Budget().meter()).max() <= 0.9
    Isotonic((-1.0, 1.0), (0.1, 0.9), "that of another").write(path)
    with pytest.raises(ConfigError, match="another reranker than cosine"):
        RerankerGrader(reranker, named).grades("cat", ["a cat"], Budget().meter())
