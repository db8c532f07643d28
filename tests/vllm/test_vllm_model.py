"""The in-process vLLM model against the local one: same weights, same tokens, same answers."""

from __future__ import annotations

import random

import numpy as np
import pytest
from pydantic import BaseModel, Field

from ragkit.budget import Budget, Price
from ragkit.errors import BudgetExceededError, ModelError, SchemaError, UsageError
from ragkit.inference import Sampling, Windows
from ragkit.protocols import Segment
from ragkit.testing import check_language_model

CAPITAL = [Segment("Paris is the capital of France.", "c1"), Segment("\n\nQuestion: What is the capital of France?")]
SKY = [Segment("Is the sky blue? Answer yes or no.")]
LOOPS = [Segment("List three colours.")]
TEXT = "Cats are small. They hunt mice at night.\n\nThe moon is far — 384,400 km away. 月は遠い。 🙂"

pytestmark = pytest.mark.timeout(600)


class Verdict(BaseModel):
    """A record that a small model can fill in."""

    city: str = Field(max_length=20)
    certain: bool
    score: int = Field(ge=0, le=9)


def test_the_conformance_kit(model):
    check_language_model(model)


def test_greedy_replies_are_those_of_the_local_model(model, local):
    prompts = [CAPITAL, SKY, LOOPS]
    assert model.generate_many(prompts, max_tokens=60) == local.generate_many(prompts, max_tokens=60)
    assert model.count([TEXT]) == local.count([TEXT])
    assert model.template_tokens == local.template_tokens


@pytest.mark.parametrize("windows", [Windows(), Windows(10, 5), Windows(7, 7)], ids=["one pass", "overlap", "none"])
def test_scores_are_those_of_the_local_model(model, local, windows):
    texts, contexts = [TEXT, "x", "", TEXT[:20]], ["A text about animals. ", "", "nothing", ""]
    ours = model.score(texts, contexts=contexts, windows=windows)
    theirs = local.score(texts, contexts=contexts, windows=windows)
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(own.spans, other.spans)
        np.testing.assert_allclose(own.nll, other.nll, atol=2e-3)
    assert sum(len(own.nll) for own in ours) > 40


def test_label_probabilities_are_those_of_the_local_model(model, local):
    labels = ["Yes", "No", "Paris", "yes, it is", "yes, he is"]
    ours = model.label_probabilities([SKY, CAPITAL], labels)
    np.testing.assert_allclose(ours, local.label_probabilities([SKY, CAPITAL], labels), rtol=1e-3)
    assert ours[0, 1] > 0.1
    with pytest.raises(UsageError, match="at least one character"):
        model.label_probabilities([SKY], ["Yes", ""])


def test_many_labels_take_several_requests_and_the_same_softmax(model):
    letters = [chr(code) for code in range(ord("!"), ord("~"))] + [
        f" {chr(code)}" for code in range(ord("!"), ord("~"))
    ]
    found = model.label_probabilities([SKY], letters)[0]
    assert len(letters) > 128
    assert found[letters.index("A")] == pytest.approx(model.label_probabilities([SKY], ["A"])[0, 0], rel=1e-4)
    assert 0 < found.sum() <= 1


def test_records_fit_their_schema_or_say_what_was_written(model):
    for record in model.generate_records([CAPITAL, SKY, LOOPS], Verdict, max_tokens=80):
        assert isinstance(record, Verdict)
        assert Verdict.model_validate(record.model_dump()) == record
    with pytest.raises(SchemaError, match="did not complete its Verdict within 3 tokens") as failed:
        model.generate_records([CAPITAL], Verdict, max_tokens=3)
    assert failed.value.reply.startswith("{")


def test_sampled_replies_depend_on_the_seed(model):
    warm = Sampling(temperature=1.0, seed=1)
    first = model.generate(LOOPS, max_tokens=12, sampling=warm)
    assert model.generate(LOOPS, max_tokens=12, sampling=warm) == first
    others = {model.generate(LOOPS, max_tokens=12, sampling=Sampling(temperature=1.0, seed=seed)) for seed in (2, 3)}
    assert others != {first}


def test_everything_is_told_as_it_arrives_and_booked(model):
    model.price = Price(input=1.0, output=2.0)
    meter, arrivals, steps = Budget(tokens=10_000).meter(), [], []
    try:
        replies = model.generate_many(
            [CAPITAL, SKY],
            max_tokens=8,
            meter=meter,
            arrived=arrivals.append,
            progress=lambda *step: steps.append(step),
        )
    finally:
        model.price = None
    assert {arrival.place: arrival.value for arrival in arrivals} == dict(enumerate(replies))
    assert steps == [("generate", 1, 2), ("generate", 2, 2)]
    spent = meter.report()["stages"]["generate"]
    prompts = [model.count([segment.text])[0] for prompt in (CAPITAL, SKY) for segment in prompt]
    assert spent["calls"] == 2
    assert spent["prompt_tokens"] == sum(prompts) + 2 * model.template_tokens
    assert spent["reply_tokens"] == sum(arrival.reply_tokens for arrival in arrivals)
    assert spent["dollars"] == pytest.approx((spent["prompt_tokens"] + 2 * spent["reply_tokens"]) / 1e6)


def test_what_was_paid_for_is_told_before_the_budget_ends_the_rest(model):
    arrivals = []
    one = model.count(["".join(segment.text for segment in SKY)])[0] + model.template_tokens + 1
    meter = Budget(tokens=2 * one + 5).meter()
    with pytest.raises(BudgetExceededError):
        model.label_probabilities([SKY, SKY, SKY], ["Yes"], meter=meter, arrived=arrivals.append)
    assert [arrival.place for arrival in arrivals] == [0, 1]
    assert meter.tokens == 2 * one
    with pytest.raises(BudgetExceededError):
        model.generate(SKY, max_tokens=5, meter=Budget(seconds=0.0).meter())


def test_an_interrupt_leaves_the_engine_usable(model):
    def interrupt(_):
        raise KeyboardInterrupt

    expected = model.generate(SKY, max_tokens=8)
    meter = Budget(tokens=10_000).meter()
    with pytest.raises(KeyboardInterrupt):
        model.score([TEXT, "x", TEXT * 3], meter=meter, arrived=interrupt)
    assert meter.tokens < 100
    assert model.generate(SKY, max_tokens=8) == expected


def test_what_does_not_fit_is_refused_before_anything_is_spent(model):
    meter = Budget().meter()
    with pytest.raises(ModelError, match=r"The prompt has \d+ tokens and the answer may have 3000.*reads 2048"):
        model.generate(SKY, max_tokens=3000, meter=meter)
    with pytest.raises(ModelError, match="Scoring windows of 2047 tokens"):
        model.score([TEXT], windows=Windows(2047, 5), meter=meter)
    assert meter.tokens == 0


def test_an_engine_that_cannot_start_says_why(smollm_folder, tmp_path):
    from ragkit.models.vllm import VllmLanguageModel

    with pytest.raises(ModelError, match=r"needs \d+\.\d GiB .* are free\. Give a smaller kv_cache_gib"):
        VllmLanguageModel(kv_cache_gib=100_000).generate(SKY, max_tokens=5)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((smollm_folder / name).read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "llama", "architectures": ["NoSuchModel"]}')
    with pytest.raises(ModelError, match="vLLM cannot start"):
        VllmLanguageModel(str(tmp_path)).generate(SKY, max_tokens=5)


def test_the_process_around_the_engine_is_left_as_it_was(model):
    import torch

    from ragkit.models.vllm import VllmLanguageModel

    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)
    random.seed(5)
    expected = random.Random(5).random()
    with VllmLanguageModel(window=512, kv_cache_gib=0.1) as other:
        reply = other.generate(SKY, max_tokens=4)
        assert random.random() == expected
        assert model.generate(SKY, max_tokens=4) == reply
    # the end of one engine takes the other's ground away, so it starts again
    assert model.generate(SKY, max_tokens=4) == reply
