"""The scripted model and the fake server say what they are told to, and nothing else."""

import numpy as np
import pytest
from pydantic import BaseModel, Field

from ragkit.budget import Budget, Price
from ragkit.errors import BudgetExceededError, ModelError, SchemaError, ServerError, UnsupportedError, UsageError
from ragkit.protocols import LanguageModel, Segment
from ragkit.testing import ScriptedLanguageModel, ToyModel
from ragkit.testing.schema_sample import sample


class Fact(BaseModel):
    name: str
    number: int = Field(ge=2)


def ask(model, text, **options):
    return model.generate([Segment(text)], **{"max_tokens": 20} | options)


@pytest.mark.parametrize(
    ("rule", "replies"),
    [
        ("yes", ["yes", "yes", "yes"]),
        (["one", "two"], ["one", "two", "two"]),
        ({"b": "found", "": "other"}, ["other", "found", "other"]),
        (str.upper, ["A", "B", "A"]),
    ],
)
def test_rules(rule, replies):
    model = ScriptedLanguageModel(rule)
    assert isinstance(model, LanguageModel)
    assert [ask(model, text) for text in "aba"] == replies
    assert model.calls == [("generate", text) for text in "aba"]


def test_errors_are_scripted_too():
    model = ScriptedLanguageModel([ServerError("gone"), "back"])
    with pytest.raises(ServerError, match="gone"):
        ask(model, "x")
    assert ask(model, "x") == "back"
    with pytest.raises(ModelError, match="No rule fits"):
        ask(ScriptedLanguageModel({"a": "b"}), "x")


def test_what_is_not_scripted_is_unsupported():
    model = ScriptedLanguageModel()
    for call in (
        lambda: ask(model, "x"),
        lambda: model.generate_records([[Segment("x")]], Fact, max_tokens=5),
        lambda: model.score(["x"]),
        lambda: model.label_probabilities([[Segment("x")]], ["a"]),
    ):
        with pytest.raises(UnsupportedError, match="no script"):
            call()


def test_limits():
    model = ScriptedLanguageModel("one two three four", window=10, price=Price(1.0, 2.0))
    assert ask(model, "x", max_tokens=2) == "one two"
    with pytest.raises(ModelError, match="together scripted reads 10"):
        ask(model, "a b c d e f", max_tokens=5)
    meter = Budget().meter()
    ask(model, "x y", max_tokens=3, meter=meter)
    assert meter.report()["stages"]["generate"]["dollars"] == pytest.approx((2 + 2 * 3) / 1e6)
    with pytest.raises(BudgetExceededError):
        ask(model, "x y", max_tokens=3, meter=Budget(tokens=1).meter())


def test_records_scores_and_labels():
    model = ScriptedLanguageModel(
        records=[{"name": "a", "number": 3}, Fact(name="b", number=4), '{"name": "c", "number": 1}'],
        scores=lambda text, context: [0.5] * len(text.split()),
        labels=lambda prompt, labels: [0.1 * len(prompt)] * len(labels),
    )
    assert [fact.name for fact in model.generate_records([[Segment("x")]] * 2, Fact, max_tokens=9)] == ["a", "b"]
    with pytest.raises(SchemaError) as caught:
        model.generate_records([[Segment("x")]], Fact, max_tokens=9)
    assert caught.value.reply == '{"name": "c", "number": 1}'
    (scores,) = model.score(["to be  or"])
    assert scores.spans.tolist() == [[0, 2], [2, 5], [5, 9]]
    with pytest.raises(UsageError, match="gives 0 scores to a text of 1 tokens"):
        model.score([" "])
    assert model.label_probabilities([[Segment("xy")]], ["a", "b"]).tolist() == [[0.2, 0.2]]


def test_the_toy_model_is_a_language_model():
    toy = ToyModel()
    text = "One two, naïve 北京."
    ids = toy.tokens(text)
    assert toy.text(ids) == text
    assert np.exp(toy.next_logprobs(ids)).sum() == pytest.approx(1.0)
    nll = toy.nll(ids)
    assert np.isnan(nll[0])
    assert nll[3] == pytest.approx(-toy.next_logprobs(ids[:3])[ids[3]])
    assert np.array_equal(ToyModel().nll(ids), nll, equal_nan=True)
    assert not np.array_equal(ToyModel(1).nll(ids), nll, equal_nan=True)


def test_samples_fit_their_schema():
    class Inner(BaseModel):
        words: list[str] = Field(min_length=2)
        maybe: int | None = None
        sure: bool

    class Outer(BaseModel):
        inner: Inner
        size: float = Field(gt=3)
        code: str = Field(min_length=4)

    found = Outer.model_validate(sample(Outer.model_json_schema()))
    assert (len(found.inner.words), found.size, found.code) == (2, 4.0, "xxxx")
