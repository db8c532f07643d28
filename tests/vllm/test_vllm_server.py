"""The served back end against vLLM's own server: what it detects is what the real thing has."""

from __future__ import annotations

import numpy as np
import pytest

from ragkit.errors import ModelError, ServerError
from ragkit.inference import Sampling, Windows
from ragkit.models.served import ServedLanguageModel
from ragkit.testing import check_language_model
from tests.vllm.test_vllm_model import CAPITAL, LOOPS, SKY, TEXT, Verdict

pytestmark = pytest.mark.timeout(600)
START = "<|im_start|>"
"""SmolLM2's start token, which its tokenizer does not put before a text by itself."""


@pytest.fixture(scope="module")
def served(served_url):
    return ServedLanguageModel(served_url, start_token=START, timeout=120)


def test_the_conformance_kit(served):
    check_language_model(served)


def test_name_and_window_are_the_servers(served):
    assert served.name == "smollm"
    assert served.window == 2048


def test_replies_are_those_of_the_engine_in_process(served, model):
    assert served.generate_many([CAPITAL, SKY], max_tokens=40) == model.generate_many([CAPITAL, SKY], max_tokens=40)
    warm = Sampling(temperature=0.8, top_p=0.9, repetition_penalty=1.1, seed=7)
    assert served.generate(LOOPS, max_tokens=12, sampling=warm) == model.generate(LOOPS, max_tokens=12, sampling=warm)


@pytest.mark.parametrize("windows", [Windows(), Windows(10, 5)], ids=["one pass", "overlap"])
def test_scores_through_prompt_logprobs(served, model, windows):
    texts, contexts = [TEXT, "x", ""], ["A text about animals. ", "", ""]
    ours = served.score(texts, contexts=contexts, windows=windows)
    for own, other in zip(ours, model.score(texts, contexts=contexts, windows=windows), strict=True):
        np.testing.assert_array_equal(own.spans, other.spans)
        np.testing.assert_allclose(own.nll, other.nll, atol=2e-3)


def test_label_probabilities(served, model):
    labels = ["Yes", "No", "Paris", "yes, it is"]
    ours = served.label_probabilities([SKY, CAPITAL], labels)
    np.testing.assert_allclose(ours, model.label_probabilities([SKY, CAPITAL], labels), rtol=2e-3)


def test_records_are_constrained(served):
    for record in served.generate_records([CAPITAL, SKY], Verdict, max_tokens=120):
        assert isinstance(record, Verdict)


def test_what_the_server_refuses_is_one_clear_error(served, served_url):
    with pytest.raises(ModelError, match="reads 2048"):
        served.generate(SKY, max_tokens=4000)
    with pytest.raises(ServerError, match="does not exist"):
        ServedLanguageModel(served_url, model="nobody", window=2048).generate(SKY, max_tokens=4)
