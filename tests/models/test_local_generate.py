"""Replies of the local language model in batches."""

import json
import re

import pytest

from ragkit.budget import Budget
from ragkit.errors import BudgetExceededError, ModelError
from ragkit.inference import Sampling
from ragkit.models.causal.generation import reply_batches
from ragkit.models.causal.loops import loops
from ragkit.models.local import LocalLanguageModel
from ragkit.protocols import Segment

TEXTS = ["the cat", "sat on the mat and the dog ran to the house", "a", "the dog", "yes no yes no yes"]
PROMPTS = [[Segment(text)] for text in TEXTS]


@pytest.fixture(scope="module")
def model(tiny_causal):
    return LocalLanguageModel(str(tiny_causal), device="cpu", batch_tokens=200)


@pytest.mark.models
def test_batched_greedy_replies_are_the_single_ones(smollm):
    asked = ["What is the capital of France?", "Name three colours of the rainbow, in order, please.", "Say yes."]
    prompts = [[Segment(text)] for text in asked]
    many = smollm.generate_many(prompts, max_tokens=9)
    assert many == [smollm.generate(prompt, max_tokens=9) for prompt in prompts]
    assert "Paris" in many[0]
    assert len(set(many)) == 3


def test_tiny_batched_replies_are_the_single_ones(model):
    seen = []
    many = model.generate_many(PROMPTS, max_tokens=30, progress=lambda *told: seen.append(told))
    assert many == [model.generate(prompt, max_tokens=30) for prompt in PROMPTS]
    assert [done for _, done, _ in seen] == [1, 2, 3, 4, 5]
    assert seen[-1] == ("generate", 5, 5)
    assert model.generate_many([], max_tokens=3) == []


def test_drawn_replies_depend_on_seed_and_prompt_alone(model):
    warm = Sampling(temperature=1.5, top_p=0.9, seed=7)
    many = model.generate_many(PROMPTS, max_tokens=20, sampling=warm)
    assert many == [model.generate(prompt, max_tokens=20, sampling=warm) for prompt in PROMPTS]
    assert many != model.generate_many(PROMPTS, max_tokens=20, sampling=Sampling(1.5, 0.9, seed=8))
    greedy = model.generate_many(PROMPTS, max_tokens=20)
    assert many != greedy
    assert model.generate_many(PROMPTS, max_tokens=20, sampling=Sampling(1.0, top_p=1e-9)) == greedy
    penal = Sampling(repetition_penalty=5.0)
    assert model.generate_many(PROMPTS, max_tokens=20, sampling=penal) == [
        model.generate(prompt, max_tokens=20, sampling=penal) for prompt in PROMPTS
    ]


def test_draws_follow_the_probabilities():
    import torch

    from ragkit.models.causal.choosing import Chooser

    scores = torch.tensor([0.6, 0.3, 0.07, 0.03]).log().repeat(4000, 1)
    prompts = [[row] for row in range(4000)]
    drawn = Chooser(Sampling(1.0), prompts, 1).drawn(scores, 0).argmax(-1)
    shares = torch.bincount(drawn, minlength=4) / 4000
    assert torch.allclose(shares, torch.tensor([0.6, 0.3, 0.07, 0.03]), atol=0.03)
    nucleus = Chooser(Sampling(1.0, top_p=0.8), prompts, 1).drawn(scores, 0).argmax(-1)
    assert set(nucleus.tolist()) == {0, 1}
    assert float((nucleus == 0).float().mean()) == pytest.approx(2 / 3, abs=0.03)
    seen = Chooser(Sampling(repetition_penalty=2.0), [[1]], 1).penalised(torch.tensor([[2.0, 2.0, -2.0]]), None)
    assert seen.tolist() == [[2.0, 1.0, -2.0]]


def test_the_loop_stop_ends_one_row_and_not_the_others(tiny_causal, monkeypatch):
    model = LocalLanguageModel(str(tiny_causal), device="cpu")
    free = [model._loaded.prompt_ids(text) for text in TEXTS]
    found = []
    model._loaded.writer.write_all(
        free,
        max_tokens=90,
        sampling=Sampling(),
        meter=None,
        matchers=None,
        take=lambda place, *rest: found.append(rest[0]),
    )
    for reply in found:
        assert not any(loops(reply.tokens[:end]) for end in range(len(reply.tokens)))
        assert reply.complete == (len(reply.tokens) < 90 or reply.tokens[-1] == 1 or loops(reply.tokens))


def test_budgets_are_charged_once_and_arrivals_told(model):
    meter = Budget().meter()
    arrived = []
    replies = model.generate_many(PROMPTS, max_tokens=10, meter=meter, arrived=arrived.append)
    assert [one.value for one in sorted(arrived, key=lambda one: one.place)] == replies
    row = meter.report()["stages"]["generate"]
    assert row["prompt_tokens"] == sum(one.prompt_tokens for one in arrived)
    assert row["reply_tokens"] == sum(one.reply_tokens for one in arrived)
    assert (row["calls"], row["unpriced"]) == (len(PROMPTS), 0)
    short = Budget(tokens=row["tokens"] - 3).meter()
    kept = []
    with pytest.raises(BudgetExceededError):
        model.generate_many(PROMPTS * 2, max_tokens=10, meter=short, arrived=kept.append)
    assert len(kept) >= len(PROMPTS) - 1
    assert short.tokens <= row["tokens"] - 3
    with pytest.raises(BudgetExceededError):
        model.generate_many(PROMPTS, max_tokens=10, meter=Budget(seconds=0).meter())


def test_a_deadline_keeps_only_what_was_complete(model, monkeypatch):
    from ragkit.models.causal import writing

    meter = Budget(seconds=1000).meter()
    write = writing.write

    def slow(*args, **settings):
        done = write(*args, **{**settings, "max_tokens": 5})
        monkeypatch.setattr(type(meter), "seconds", property(lambda self: 2000.0))
        return done

    monkeypatch.setattr(writing, "write", slow)
    kept = []
    with pytest.raises(BudgetExceededError, match="seconds"):
        model.generate_many(PROMPTS[:2], max_tokens=40, meter=meter, arrived=kept.append)
    assert all(one.ended for one in kept)


def test_a_prompt_too_long_is_refused_before_anything_is_written(model):
    arrived = []
    with pytest.raises(ModelError, match=re.escape("together")):
        model.generate_many([*PROMPTS, [Segment("the cat " * 200)]], max_tokens=10, arrived=arrived.append)
    assert arrived == []


def test_batches_are_within_the_budget():
    assert reply_batches([], 10, 100) == []
    assert reply_batches([500], 10, 100) == [[0]]
    assert [len(batch) for batch in reply_batches([10] * 7, 10, 60)] == [3, 3, 1]


def test_a_model_without_a_template_continues_the_text(tiny_causal, tmp_path):
    import shutil

    shutil.copytree(tiny_causal, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    model = LocalLanguageModel(str(tmp_path), device="cpu")
    assert model._loaded.prompt_ids("the cat") == model._loaded._tokenizer("the cat")["input_ids"]
    assert isinstance(model.generate([Segment("")], max_tokens=3), str)
