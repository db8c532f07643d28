"""Served models against a real HTTP server on the loopback interface."""

import socket

import pytest

from ragkit.budget import Budget
from ragkit.errors import BudgetExceededError, ModelError, ServerError, UsageError
from ragkit.models.served import ServedLanguageModel
from ragkit.models.spec import parse_llm
from ragkit.protocols import LanguageModel, Segment
from ragkit.testing.server import FakeServer, garbage, reply, status, truncated

PROMPT = [Segment("Sources:\n"), Segment("Paris is the capital.", "chunk"), Segment("\nQuestion: capital?")]


def served(server, **options):
    return ServedLanguageModel(server.url, **{"timeout": 5.0, "retries": 2} | options)


def test_a_reply():
    with FakeServer([reply("  Paris. ")]) as server:
        model = served(server)
        assert isinstance(model, LanguageModel)
        assert model.generate(PROMPT, max_tokens=20) == "Paris."
        assert model.name == "fake"
    (request,) = server.requests
    assert request["messages"] == [{"role": "user", "content": "".join(segment.text for segment in PROMPT)}]
    assert request["max_tokens"] == 20
    assert request["temperature"] == 0


@pytest.mark.parametrize("failure", [status(429), status(500), status(503), truncated()])
def test_what_can_be_retried_is(failure):
    with FakeServer([failure, failure, reply("Paris.")]) as server:
        assert served(server).generate(PROMPT, max_tokens=20) == "Paris."
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("failure", "message", "attempts"),
    [
        (status(429), "status 429 after 3 attempts.*limits the rate", 3),
        (status(500), "status 500 after 3 attempts", 3),
        (status(404, "no model 'x'"), "status 404: .*no model.*lists its models", 1),
        (status(401), "status 401.*OPENAI_API_KEY", 1),
        (status(400, "context length"), "status 400: .*context length", 1),
        (truncated(), "No usable reply", 3),
        (garbage(), "cannot be read|not with a chat completion", 1),
        (garbage(b'{"choices": []}'), "not with a chat completion", 1),
        (garbage(b"[]"), "not with a chat completion|cannot be read", 1),
    ],
)
def test_what_cannot_is_one_clear_error(failure, message, attempts):
    with FakeServer([failure]) as server, pytest.raises(ServerError, match=message):
        served(server, model="x").generate(PROMPT, max_tokens=20)
    assert len(server.requests) == attempts


def test_a_slow_server_times_out():
    with FakeServer([reply("late", delay=1.0)]) as server, pytest.raises(ServerError, match=r"within 0\.1 s, 1 times"):
        served(server, model="x", timeout=0.1, retries=0).generate(PROMPT, max_tokens=20)


def test_no_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ServerError, match="Is the server running"):
        ServedLanguageModel(f"http://127.0.0.1:{port}/v1", retries=0).generate(PROMPT, max_tokens=20)


def test_the_model_must_be_named_where_there_are_several():
    with FakeServer(models=["small", "large"]) as server:
        with pytest.raises(ServerError, match=r"offers 2 models .small, large"):
            _ = served(server).name
        assert served(server, model="large").generate(PROMPT, max_tokens=5) == "ok"
    assert server.requests[0]["model"] == "large"


def test_the_window_is_the_servers_and_enforced():
    with FakeServer(max_model_len=100) as server:
        model = served(server)
        assert model.window == 100
        with pytest.raises(ModelError, match="together fake reads 100"):
            model.generate(PROMPT, max_tokens=90)
        assert not server.requests
        assert served(server, window=4000).window == 4000
    with FakeServer() as server:
        assert served(server).window == 8192


def test_the_budget_is_kept():
    with FakeServer([reply("Paris.", tokens=3)]) as server:
        model = served(server)
        meter = Budget(tokens=100).meter()
        model.generate(PROMPT, max_tokens=500, meter=meter)
        estimate = model.count(["".join(segment.text for segment in PROMPT)])[0] + model.template_tokens
        assert meter.tokens == estimate + 3
        assert server.requests[0]["max_tokens"] == 100 - estimate
        with pytest.raises(BudgetExceededError):
            model.generate(PROMPT, max_tokens=5, meter=meter)
    assert len(server.requests) == 1


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    model = ServedLanguageModel("http://127.0.0.1:1/v1", api_key_env="MY_KEY")
    assert model._client.api_key == "secret"


def test_counts_are_estimates_on_the_high_side():
    model = ServedLanguageModel("http://127.0.0.1:1/v1", model="m")
    assert model.count(["", "abc", "中文", "abcd中"]) == [0, 1, 2, 3]
    assert model.fingerprint != ServedLanguageModel("http://127.0.0.1:1/v1", model="n").fingerprint


def test_an_address_is_an_address():
    with pytest.raises(UsageError, match="not the address"):
        ServedLanguageModel("localhost:8000")


def test_parse_llm():
    assert parse_llm("http://h:1/v1").options == {"base_url": "http://h:1/v1"}
    assert parse_llm(" https://h/v1#a/b ").options == {"base_url": "https://h/v1", "model": "a/b"}
    assert parse_llm("/models/mine").options == {"model": "/models/mine"}
    with pytest.raises(UsageError):
        parse_llm(" ")
