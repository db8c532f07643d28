"""The number format of dtype "auto", and the one instance that parts share."""

import gc
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ragkit.config import PartConfig
from ragkit.errors import ConfigError
from ragkit.models import number_format as module
from ragkit.models.number_format import has_gpu, number_format
from ragkit.parts import check_part, language_model
from ragkit.testing import ScriptedLanguageModel


def test_it_is_torchs_answer():
    import torch

    assert has_gpu() == torch.cuda.is_available()
    expected = "bfloat16" if torch.cuda.is_available() else "float32"
    assert number_format("auto") == expected


@pytest.mark.parametrize(("gpu", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_depends_on_the_machine_alone(monkeypatch, gpu, expected):
    monkeypatch.setattr(module, "has_gpu", lambda: gpu)
    assert number_format("auto") == expected
    assert number_format("auto", "cpu") == "float32"
    assert number_format("auto", "cuda") == "bfloat16"
    assert number_format("float16", "cpu") == "float16"


def test_without_a_gpu_torch_is_not_imported():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    code = "import sys; from ragkit.models.number_format import has_gpu; print(has_gpu(), 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split()[0] == "False"
    if torch.version.cuda is None and torch.version.hip is None:
        assert out.stdout.split()[1] == "False"


def inner(part):
    return language_model(part)._model


def named(name, **options):
    return PartConfig(name=name, options=options)


def test_parts_that_name_the_same_model_share_it(monkeypatch):
    monkeypatch.setenv("RAGKIT_LLM_CACHE", "on")
    one = inner(named("local"))
    assert inner(named("local", model="SmolLM2-135M-Instruct")) is one
    assert inner(named("local", device="cpu")) is not one
    url = "http://127.0.0.1:1/v1"
    served = inner(named("served", base_url=url, model="x", price={"input": 1, "output": 2}))
    assert inner(named("served", base_url=url, model="x", price={"output": 2, "input": 1})) is served
    assert inner(named("served", base_url=url, model="y", price={"input": 1, "output": 2})) is not served


def test_an_instance_goes_when_nobody_holds_it(monkeypatch):
    from ragkit.models import shared

    monkeypatch.setenv("RAGKIT_LLM_CACHE", "on")
    model = inner(named("local", window=77))
    before = len(shared._living)
    del model
    gc.collect()
    assert len(shared._living) < before


def test_a_packages_model_is_made_for_each_part(monkeypatch):
    entry = SimpleNamespace(load=lambda: ScriptedLanguageModel)
    monkeypatch.setattr("ragkit.plugins._offered", lambda kind: {"mine": entry})
    assert language_model(named("mine")) is not language_model(named("mine"))


@pytest.mark.parametrize("model", [[1], 7, None, {"options": {}}])
def test_a_model_is_a_word_or_a_part(model):
    with pytest.raises(ConfigError, match="option 'model' cannot name"):
        check_part("chunkers", named("perplexity", model=model))
