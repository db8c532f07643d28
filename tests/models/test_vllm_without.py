"""The vLLM back end where vLLM is not installed or not needed: options, budget, and what it says."""

from __future__ import annotations

import importlib.util

import pytest

from ragkit.budget import Budget, Price
from ragkit.errors import BudgetExceededError, MissingExtraError
from ragkit.models.inprocess import engine as engine_module
from ragkit.models.inprocess.bill import Bill
from ragkit.models.spec import parse_llm
from ragkit.models.vllm import VllmLanguageModel
from ragkit.plugins import check_options


def test_both_ways_to_install_it_are_named(monkeypatch):
    monkeypatch.setattr(engine_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ragkit\[vllm\]'.*make venv-vllm"):
        VllmLanguageModel("owner/name")


def test_what_the_files_tell_needs_no_engine(monkeypatch, smollm_folder):
    monkeypatch.setattr(engine_module, "find_spec", lambda name: importlib.util.find_spec("json"))
    model = VllmLanguageModel(window=100)
    assert model.window == 100
    assert VllmLanguageModel().window == 8192
    assert model.count(["Paris is a city."]) == [5]
    whole = VllmLanguageModel()
    assert whole.fingerprint == VllmLanguageModel(str(model.name), window=8192).fingerprint
    assert whole.fingerprint not in {model.fingerprint, VllmLanguageModel(dtype="bfloat16").fingerprint}
    assert VllmLanguageModel(dtype="float16").number_format == "float16"


def test_it_is_named_in_one_word_and_in_yaml():
    assert parse_llm("vllm:owner/name").options == {"model": "owner/name"}
    assert parse_llm("vllm:owner/name").name == "vllm"
    check_options("language_models", "vllm", {"price": {"input": 1, "output": 2}, "kv_cache_gib": 4}, frozenset())


def test_a_request_waits_for_others_and_is_shortened_alone():
    meter = Budget(tokens=100).meter()
    bill = Bill("generate", meter, Price(input=1.0, output=2.0))
    assert bill.reserve(30, 40, others=False) == 40
    assert bill.reserve(20, 40, others=True) is None
    assert meter.tokens == 70
    bill.settle(reserved=40, used=10, seconds=0.5)
    assert meter.tokens == 40
    assert bill.reserve(20, 60, others=False) == 40
    with pytest.raises(BudgetExceededError):
        bill.reserve(5, 5, others=False)
    assert bill.reserve(5, 5, others=True) is None
    bill.give_back(20, 40)
    stage = meter.report()["stages"]["generate"]
    assert (stage["calls"], stage["prompt_tokens"], stage["reply_tokens"]) == (1, 30, 10)
    assert stage["dollars"] == pytest.approx(50e-6)


def test_without_a_meter_nothing_is_limited():
    bill = Bill("score", None, None)
    bill.check()
    assert bill.reserve(10, 20, others=True) == 20
    bill.settle(20, 5, 0.1)
    bill.give_back(10, 20)


def test_time_that_is_over_ends_the_call():
    with pytest.raises(BudgetExceededError, match="seconds"):
        Bill("score", Budget(seconds=0.0).meter(), None).check()
