"""Records, scores and label probabilities of served models, against a toy model whose true values are known."""

import json
import math
from typing import Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field

from ragkit.budget import Budget
from ragkit.errors import BudgetExceededError, ModelError, SchemaError, ServerError, UnsupportedError, UsageError
from ragkit.inference import Sampling, Windows
from ragkit.models.causal.passes import passes
from ragkit.models.served import ServedLanguageModel
from ragkit.protocols import Segment
from ragkit.testing.server import EVERYTHING, FakeServer, garbage, half, reply, status
from ragkit.testing.toy import ToyModel

TOY = ToyModel()
TEXT = "Naïve café, 北京 and 🙂. One two the of.\n\nNo ending."


class Fact(BaseModel):
    kind: Literal["fact", "question"]
    number: int = Field(ge=0, le=9)


def served(server, **options):
    return ServedLanguageModel(server.url, **{"timeout": 5.0, "retries": 2} | options)


def without(*names):
    return [name for name in EVERYTHING if name not in names]


def prompt(text):
    return [Segment(text)]


# Scores ---------------------------------------------------------------------------------------------------------------


def test_scores_are_the_models():
    ids = TOY.tokens(TEXT)
    with FakeServer(toy=TOY, owned_by="vllm") as server:
        scores, empty, one = served(server).score([TEXT, "", "x"])
    assert scores.nll == pytest.approx(TOY.nll([TOY.start, *ids])[1:], rel=1e-6)
    assert empty.spans.shape == (0, 2)
    assert one.spans.tolist() == [[0, 1]]
    assert TEXT[slice(*scores.spans[ids.index(256 + 2)])] == "One"
    assert {TEXT[a:b] for a, b in scores.spans if "京" in TEXT[a:b]} == {"京"}  # three tokens, one character


def test_a_context_is_read_but_not_scored():
    ids, before = TOY.tokens(TEXT), TOY.tokens("One two")
    with FakeServer(toy=TOY) as server:
        (scores,) = served(server).score([TEXT], contexts=["One two"])
    assert scores.nll == pytest.approx(TOY.nll([TOY.start, *before, *ids])[1 + len(before) :], rel=1e-6)
    assert scores.spans[0].tolist() == [0, 1]


@pytest.mark.parametrize("windows", [Windows(10, 5), Windows(10, 10), Windows(12, 1), Windows(7, 3)])
@pytest.mark.parametrize("context", ["", "One two of the of the of the of the of the of the."])
def test_windows_slide_over_context_and_text(windows, context):
    ids, before = TOY.tokens(TEXT), TOY.tokens(context)
    every, expected = [*before, *ids], []
    for one in passes(len(every), windows, len(before)):
        expected += TOY.nll([TOY.start, *every[one.start : one.stop]])[1 + one.first - one.start :].tolist()
    with FakeServer(toy=TOY) as server:
        (scores,) = served(server).score([TEXT], contexts=[context], windows=windows)
    assert scores.nll == pytest.approx(expected, rel=1e-6)


def test_without_a_start_token_only_the_first_is_missing_or_the_one_given_is_used():
    ids = TOY.tokens(TEXT)
    with FakeServer(toy=TOY, offers=without("start")) as server:
        (scores,) = served(server).score([TEXT], windows=Windows(5, 5))
        assert np.isnan(scores.nll[0])
        assert not np.isnan(scores.nll[1:]).any()
        (scores,) = served(server, start_token="\n\n").score([TEXT])
        assert scores.nll == pytest.approx(TOY.nll([*TOY.tokens("\n\n"), *ids])[1:], rel=1e-6)


def test_the_default_windows_shrink_and_others_are_refused():
    with FakeServer(toy=TOY, max_model_len=20) as server:
        model = served(server)
        (scores,) = model.score([TEXT])
        assert len(scores.nll) == len(TOY.tokens(TEXT))
        assert max(len(request["prompt"]) for request in server.requests) <= 19
        with pytest.raises(ModelError, match="windows of 30 tokens were asked for; fake reads 18"):
            model.score([TEXT], windows=Windows(30, 10))


@pytest.mark.parametrize("offers", [without("tokenize"), ["echo"], ["echo", "start"], ["prompt_logprobs"]])
def test_without_a_tokenizer_one_pass_is_scored(offers):
    text = "One two the of. No ending."
    ids, start = TOY.tokens(text), [TOY.start] * ("start" in offers)
    with FakeServer(toy=TOY, offers=offers) as server:
        (scores,) = served(server).score([text])
        (after,) = served(server).score([text], contexts=["Yes"])
        with pytest.raises(ModelError, match="has no /tokenize to cut it into windows"):
            served(server, window=50).score(["word " * 200])
    expected = TOY.nll([*start, *ids])[len(start) :]
    assert scores.nll == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert after.nll == pytest.approx(TOY.nll([*start, *TOY.tokens("Yes"), *ids])[len(start) + 1 :], rel=1e-6)
    assert after.spans.tolist() == scores.spans.tolist()


def test_bytes_that_are_told_apart_are_put_together():
    with FakeServer(toy=TOY, offers=["echo"]) as server:
        (scores,) = served(server).score([TEXT])
    assert len(scores.nll) == len(TOY.tokens(TEXT))


def test_scores_are_charged_with_the_overlap():
    count = len(TOY.tokens(TEXT))
    with FakeServer(toy=TOY) as server:
        model = served(server)
        meter = Budget().meter()
        model.score([TEXT], windows=Windows(10, 5), meter=meter)
        row = meter.report()["stages"]["score"]
        calls = 1 + math.ceil((count - 10) / 5)
        assert row["calls"] == calls
        assert row["prompt_tokens"] == count + 5 * (calls - 1) + calls
        with pytest.raises(BudgetExceededError):
            model.score([TEXT], windows=Windows(10, 5), meter=Budget(tokens=30).meter())


@pytest.mark.parametrize("contexts", [[], ["a", "b"]])
def test_one_context_for_each_text(contexts):
    with pytest.raises(UsageError, match="1 texts and"):
        ServedLanguageModel("http://127.0.0.1:1/v1", model="m").score(["x"], contexts=contexts)


# Label probabilities --------------------------------------------------------------------------------------------------

LABELS = ["Yes", "No", "q", "One two", "café"]


def truth(text, labels):
    ids = [TOY.start, *TOY.tokens(f"[user] {text}\n[assistant] ")]
    return [math.exp(-TOY.nll([*ids, *TOY.tokens(label)])[len(ids) :].sum()) for label in labels]


@pytest.mark.parametrize("owned_by", ["vllm", "another"])
def test_labels_of_one_and_several_tokens(owned_by):
    with FakeServer(toy=TOY, owned_by=owned_by) as server:
        model = served(server)
        found = model.label_probabilities([prompt("Is it?"), prompt("No?\n\n")], LABELS)
        assert found == pytest.approx(np.array([truth("Is it?", LABELS), truth("No?\n\n", LABELS)]), rel=1e-6)
        before = len(server.requests)
        model.label_probabilities([prompt("Is it?")], ["Yes", "No"])
        assert len(server.requests) - before <= (1 if owned_by == "vllm" else 3)
        assert server.calls["/tokenize"] <= 1 + len(LABELS) + 2 * 3 + 1


def test_without_a_tokenizer_only_likely_labels_are_known():
    ids = [TOY.start, *TOY.tokens("[user] Is it?\n[assistant] ")]
    order = TOY.next_logprobs(ids).argsort()[::-1]
    shown = [token for token in order[:20] if token < 127 and token > 32]
    with FakeServer(toy=TOY, offers=["logprobs"]) as server:
        found = served(server).label_probabilities([prompt("Is it?")], [chr(token) for token in shown])
        assert found[0] == pytest.approx(np.exp(TOY.next_logprobs(ids)[shown]))
        with pytest.raises(UnsupportedError, match=r"'One two', not among the 20 likeliest.*vllm serve"):
            served(server).label_probabilities([prompt("Is it?")], ["One two"])


@pytest.mark.parametrize(
    "told", [{"content": [{"oops": 1}]}, {"content": [7]}, {"content": [{"token": "a", "logprob": "low"}]}]
)
def test_parts_that_are_not_of_the_protocol_are_a_servers_error(told):
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop", "logprobs": told}
    body = json.dumps({"choices": [choice]}).encode()
    with FakeServer([garbage(body)]) as server, pytest.raises(ServerError, match="parts are not as expected"):
        ServedLanguageModel(server.url).label_probabilities([[Segment("x")]], ["a"])


@pytest.mark.parametrize("labels", [[], [""], ["a", ""]])
def test_a_label_is_something(labels):
    with pytest.raises(UsageError, match="none of them empty"):
        ServedLanguageModel("http://127.0.0.1:1/v1", model="m").label_probabilities([prompt("x")], labels)


def test_a_base_model_is_asked_without_a_template():
    with FakeServer([reply("blue")], toy=TOY) as server:
        model = served(server, chat=False)
        assert model.generate(prompt("The sky is"), max_tokens=3) == "blue"
        assert server.requests[0]["prompt"] == "The sky is"
        found = model.label_probabilities([prompt("The sky is")], ["Yes", "One two"])
    ids = [TOY.start, *TOY.tokens("The sky is")]
    expected = [math.exp(-TOY.nll([*ids, *TOY.tokens(label)])[len(ids) :].sum()) for label in ("Yes", "One two")]
    assert found[0] == pytest.approx(expected)


# What a server lacks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.score(["text"]),
        lambda model: model.label_probabilities([prompt("x")], ["Yes"]),
        lambda model: model.generate_records([prompt("x")], Fact, max_tokens=50),
        lambda model: model.generate(prompt("x"), max_tokens=5, sampling=Sampling(repetition_penalty=1.1)),
    ],
)
def test_a_missing_ability_is_named_with_what_has_it(call):
    with (
        FakeServer(toy=TOY, offers=[]) as server,
        pytest.raises(UnsupportedError, match=r"local model.*vllm|vLLM"),
    ):
        call(served(server))


def test_abilities_are_asked_for_once():
    with FakeServer(toy=TOY) as server:
        model = served(server)
        for _ in range(3):
            model.score(["One"])
        assert server.calls == {"/v1/models": 1, "/tokenize": 1 + 2 + 3, "/v1/completions": 1 + 3}


# Records --------------------------------------------------------------------------------------------------------------

GOOD = json.dumps({"kind": "fact", "number": 3})


@pytest.mark.parametrize("said", [GOOD, f"```json\n{GOOD}\n```", f"  {GOOD}\n"])
def test_a_record(said):
    with FakeServer([reply(said)]) as server:
        assert served(server).generate_records([prompt("x")], Fact, max_tokens=50) == [Fact(kind="fact", number=3)]
    form = server.requests[0]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["additionalProperties"] is False


def test_vllm_gets_its_own_field():
    with FakeServer([reply(GOOD)], owned_by="vllm") as server:
        served(server).generate_records([prompt("x")], Fact, max_tokens=50)
    assert server.requests[0]["structured_outputs"] == {"json": Fact.model_json_schema()}


def test_one_repair():
    wrong = json.dumps({"kind": "fact", "number": 30})
    with FakeServer([reply(wrong), reply(GOOD)]) as server:
        meter = Budget().meter()
        found = served(server).generate_records([prompt("x")], Fact, max_tokens=50, meter=meter)
        assert found == [Fact(kind="fact", number=3)]
        assert meter.report()["stages"]["generate"]["calls"] == 2
    said = [message["content"] for message in server.requests[1]["messages"]]
    assert said[:2] == ["x", wrong]
    assert "number: Input should be less than or equal to 9" in said[2]
    with FakeServer([reply(wrong), reply("no JSON at all")]) as server:
        with pytest.raises(SchemaError, match="also after one correction") as caught:
            served(server).generate_records([prompt("x")], Fact, max_tokens=50)
        assert caught.value.reply == "no JSON at all"
        assert len(server.requests) == 2


def test_a_record_that_was_cut_off_is_not_repaired():
    with FakeServer([reply('{"kind": "fa', finish="length")]) as server:
        with pytest.raises(SchemaError, match=r"cut off after 5 tokens.*Raise max_tokens") as caught:
            served(server).generate_records([prompt("x")], Fact, max_tokens=5)
        assert caught.value.reply == '{"kind": "fa'
        assert len(server.requests) == 1


@pytest.mark.parametrize("failure", [status(500), status(429), half()])
def test_records_survive_failures(failure):
    with FakeServer([failure, reply(GOOD)]) as server:
        assert served(server).generate_records([prompt("x")], Fact, max_tokens=50)[0].number == 3


# Prompts --------------------------------------------------------------------------------------------------------------


def test_a_prompt_near_the_window_is_counted_by_the_server():
    text = " the" * 360  # 480 tokens and the template by the estimate, 360 and the template in truth
    with FakeServer([reply("ok")], toy=TOY, max_model_len=500) as server:
        model = served(server)
        assert model.count([text])[0] == 480
        assert model.generate(prompt(text), max_tokens=20) == "ok"
        with pytest.raises(
            ModelError, match=r"has exactly 9\d\d tokens and the answer may have 20; together fake reads 500"
        ):
            model.generate(prompt("é" * 450), max_tokens=20)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_sampling_is_passed_on(temperature):
    with FakeServer(owned_by="vllm") as server:
        sampling = Sampling(temperature=temperature, top_p=0.9, repetition_penalty=1.2, seed=5)
        served(server).generate(prompt("x"), max_tokens=5, sampling=sampling)
    (request,) = server.requests
    assert (request["temperature"], request["repetition_penalty"]) == (temperature, 1.2)
    assert (request.get("top_p"), request.get("seed")) == ((0.9, 5) if temperature else (None, None))


def test_a_model_that_only_thinks():
    thought = status(200)
    body = json.dumps({"choices": [{"message": {"content": None, "reasoning": "hm"}, "finish_reason": "length"}]})
    with (
        FakeServer([type(thought)(body.encode())]) as server,
        pytest.raises(ServerError, match="thought until max_tokens was reached"),
    ):
        served(server).generate(prompt("x"), max_tokens=5)
