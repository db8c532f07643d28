"""Label probabilities of the local language model, against the whole model's softmax."""

import numpy as np
import pytest
import torch

from ragkit.budget import Budget
from ragkit.errors import BudgetExceededError, ModelError, UsageError
from ragkit.models.local import LocalLanguageModel
from ragkit.protocols import LanguageModel, Segment

PROMPTS = [[Segment(text)] for text in ("the cat", "the dog ran to the house", "a", "yes")]
LABELS = ["1", "2", " the house", "the", "猫"]


@pytest.fixture(scope="module")
def model(tiny_causal):
    return LocalLanguageModel(str(tiny_causal), device="cpu", batch_tokens=64)


def oracle(model, prompt, label):
    loaded = model._loaded
    ids = loaded.prompt_ids("".join(segment.text for segment in prompt))
    product = 1.0
    for token in loaded._tokenizer(label, add_special_tokens=False)["input_ids"]:
        with torch.inference_mode():
            product *= float(loaded.model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)[token])
        ids = [*ids, token]
    return product


def test_probabilities_are_the_models_own(model):
    assert isinstance(model, LanguageModel)
    arrived, seen = [], []
    meter = Budget().meter()
    found = model.label_probabilities(
        PROMPTS, LABELS, meter=meter, arrived=arrived.append, progress=lambda *told: seen.append(told)
    )
    expected = [[oracle(model, prompt, label) for label in LABELS] for prompt in PROMPTS]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert found.shape == (4, 5)
    assert found.dtype == np.float64
    assert (found > 0).all()
    assert sorted(one.place for one in arrived) == [0, 1, 2, 3]
    for one in arrived:
        np.testing.assert_array_equal(one.value, found[one.place])
    assert seen[-1][1] == seen[-1][2] == meter.tokens
    np.testing.assert_allclose(model.label_probabilities(PROMPTS[1:2], LABELS), found[1:2], rtol=1e-4)


def test_they_are_not_renormalised(model):
    found = model.label_probabilities(PROMPTS, [chr(code) for code in range(33, 127)])
    assert (found.sum(axis=1) < 1).all()


def test_what_is_refused(model):
    with pytest.raises(UsageError, match="at least one character"):
        model.label_probabilities(PROMPTS, ["1", ""])
    with pytest.raises(UsageError):
        model.label_probabilities(PROMPTS, [])
    with pytest.raises(ModelError, match="reads 128"):
        model.label_probabilities([[Segment("the cat " * 200)]], ["1"])
    with pytest.raises(BudgetExceededError):
        model.label_probabilities(PROMPTS, ["1"], meter=Budget(tokens=3).meter())
    assert model.label_probabilities([], ["1", "2"]).shape == (0, 2)
