"""The local language model."""

import subprocess
import sys

import pytest

from ragkit.budget import Budget
from ragkit.errors import BudgetExceededError, ConfigError, ModelError
from ragkit.models.local import LocalLanguageModel
from ragkit.models.window import answer_room
from ragkit.protocols import LanguageModel, Segment

PROMPT = [Segment("The capital of France is Paris.", "c1"), Segment("\n\nQuestion: What is the capital of France?")]


@pytest.fixture
def model(smollm):
    return smollm


@pytest.mark.models
def test_a_greedy_reply(model):
    assert isinstance(model, LanguageModel)
    first = model.generate(PROMPT, max_tokens=12)
    assert "Paris" in first
    assert model.generate(PROMPT, max_tokens=12) == first
    assert 0 < model.count([first])[0] <= 12


@pytest.mark.models
def test_the_window_is_enforced_with_its_numbers(model):
    assert model.window == 8192
    with pytest.raises(ModelError, match=r"The prompt has \d+ tokens and the answer may have 8190.*8192"):
        model.generate(PROMPT, max_tokens=8190)
    short = LocalLanguageModel(window=100)
    assert short.window == 100
    assert short.fingerprint != LocalLanguageModel().fingerprint == LocalLanguageModel(window=10_000).fingerprint


@pytest.mark.models
def test_the_budget_shortens_the_reply_or_refuses(model):
    text = "".join(segment.text for segment in PROMPT)
    prompt_tokens = model.count([text])[0] + model.template_tokens
    meter = Budget(tokens=prompt_tokens + 3).meter()
    reply = model.generate(PROMPT, max_tokens=50, meter=meter)
    assert model.count([reply])[0] <= 3
    assert meter.tokens == prompt_tokens + 3
    with pytest.raises(BudgetExceededError):
        model.generate(PROMPT, max_tokens=50, meter=meter)


@pytest.mark.models
def test_what_the_files_tell_needs_no_torch(smollm_folder):
    script = (
        "import sys; from ragkit.models.local import LocalLanguageModel; m = LocalLanguageModel();"
        "print(m.window, m.fingerprint, m.count(['a b']), 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert out[0] == "8192"
    assert out[1] == LocalLanguageModel().fingerprint
    assert out[-2:] == ["False", "False"]


@pytest.mark.parametrize("options", [{"window": 0}, {"window": -5}, {"batch_tokens": 0}])
def test_limits_are_checked(options):
    with pytest.raises(ConfigError, match="expected at least 2 and 1 tokens"):
        LocalLanguageModel(**options)


def test_a_folder_without_weights(tmp_path):
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 64, "model_type": "llama"}')
    model = LocalLanguageModel(str(tmp_path))
    assert model.window == 64
    with pytest.raises(ModelError, match="cannot be loaded"):
        _ = model._loaded.model


def test_room_for_an_answer():
    assert answer_room("m", 10, 20, 30, None) == 20
    with pytest.raises(ModelError, match="together m reads 29"):
        answer_room("m", 10, 20, 29, None)
    meter = Budget(tokens=15).meter()
    assert answer_room("m", 10, 20, 30, meter) == 5
    assert meter.tokens == 10
    with pytest.raises(BudgetExceededError):
        answer_room("m", 5, 20, 30, meter)
    assert meter.tokens == 10
