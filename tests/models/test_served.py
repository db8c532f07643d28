"""Served models against a real HTTP server on the loopback interface."""

import asyncio
import signal
import socket
import subprocess
import sys
import time

import pytest

from ragkit.budget import Budget
from ragkit.errors import BudgetExceededError, ConfigError, ModelError, RagkitWarning, ServerError, UsageError
from ragkit.inference import Sampling
from ragkit.models.served import ServedLanguageModel
from ragkit.models.spec import parse_llm
from ragkit.plugins import create
from ragkit.protocols import LanguageModel, Segment
from ragkit.testing.server import FakeServer, garbage, half, reply, status, truncated

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


@pytest.mark.parametrize("failure", [status(429), status(500), status(503), status(408), truncated(), half()])
def test_what_can_be_retried_is(failure):
    with FakeServer([failure, failure, reply("Paris.")]) as server:
        assert served(server).generate(PROMPT, max_tokens=20) == "Paris."
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("failure", "message", "attempts"),
    [
        (status(429), "status 429 after 3 attempts.*limits the rate", 3),
        (status(500), "status 500 after 3 attempts", 3),
        (status(429, "spent", retry_after="600"), "status 429: .*asked again in 600 s", 1),
        (status(401), "status 401.*OPENAI_API_KEY", 1),
        (status(400, "context length"), "status 400: .*context length.*longer window", 1),
        (truncated(), "No usable reply", 3),
        (half(), "broke off after .* characters, 3 times", 3),
        (garbage(), "cannot be read", 1),
        (garbage(b'{"choices": []}'), "not with a chat completion", 1),
        (garbage(b"[]"), "cannot be read", 1),
    ],
)
def test_what_cannot_is_one_clear_error(failure, message, attempts):
    with FakeServer([failure]) as server, pytest.raises(ServerError, match=message):
        served(server, model="fake").generate(PROMPT, max_tokens=20)
    assert len(server.requests) == attempts


def test_a_wrong_model_name():
    with FakeServer(models=["small"]) as server:
        with pytest.raises(ServerError, match=r"status 404: The model `x` does not exist.*lists its models"):
            served(server, model="x").generate(PROMPT, max_tokens=20)
        with pytest.raises(ServerError, match="does not exist"):
            served(server, model="x").score(["text"])


def test_retry_after_is_obeyed_by_all_requests():
    with FakeServer([status(429, retry_after="0.4"), reply("Paris.")]) as server:
        started = time.monotonic()
        assert served(server, concurrency=4).generate_many([PROMPT] * 4, max_tokens=20) == ["Paris."] * 4
        assert time.monotonic() - started >= 0.4


def test_a_slow_server_times_out():
    with FakeServer([reply("late", delay=1.0)]) as server, pytest.raises(ServerError, match=r"within 0\.1 s, 1 times"):
        served(server, model="fake", timeout=0.1, retries=0).generate(PROMPT, max_tokens=20)


def test_no_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ServerError, match="Is the server running") as caught:
        ServedLanguageModel(f"http://127.0.0.1:{port}/v1", retries=0).generate(PROMPT, max_tokens=20)
    assert type(caught.value) is ServerError  # no private class that errors.py does not list
    assert caught.value.fails == "server"


def test_the_model_must_be_named_where_there_are_several():
    with FakeServer(models=["small", "large"]) as server:
        with pytest.raises(ServerError, match=r"offers 2 models .small, large"):
            _ = served(server).name
        assert served(server, model="large").generate(PROMPT, max_tokens=5) == "ok"
        with pytest.raises(ServerError, match=r"offers 0 models .none.*end in /v1"):
            _ = ServedLanguageModel(server.url.removesuffix("/v1")).name
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
        assert server.requests[0]["max_tokens"] == 100 - estimate
        assert meter.tokens == 7 + 3  # what the server says it was, not the estimate
        meter.spend("other", tokens=60)
        with pytest.raises(BudgetExceededError):
            model.generate(PROMPT, max_tokens=5, meter=meter)
        assert meter.tokens == 70
    assert len(server.requests) == 1


def test_requests_at_once_do_not_share_what_is_left():
    with FakeServer(lambda request: reply("x", tokens=request["max_tokens"], delay=0.05)) as server:
        model = served(server, concurrency=8)
        meter = Budget(tokens=400).meter()
        with pytest.raises(BudgetExceededError, match=r"\(\d of 8 prompts succeeded"):
            model.generate_many([PROMPT] * 8, max_tokens=100, meter=meter)
    assert meter.tokens <= 400
    assert [request["max_tokens"] for request in server.requests][:3] == [100] * 3
    assert meter.report()["stages"]["generate"]["calls"] == len(server.requests)


def test_prices():
    with FakeServer([reply("Paris.", tokens=3)]) as server:
        part = create("language_models", "served", {"base_url": server.url, "price": {"input": 1.0, "output": 1000}})
        meter = Budget().meter()
        part.generate(PROMPT, max_tokens=5, meter=meter)
        served(server).generate(PROMPT, max_tokens=5, meter=meter)
        row = meter.report()["stages"]["generate"]
        assert (row["calls"], row["unpriced"], row["prompt_tokens"], row["reply_tokens"]) == (2, 1, 14, 6)
        assert row["dollars"] == pytest.approx((7 * 1 + 3 * 1000) / 1e6)
        with pytest.raises(BudgetExceededError, match="dollars"):
            part.generate(PROMPT, max_tokens=5, meter=Budget(dollars=1e-4).meter())


def test_the_budgets_time_ends_retries():
    with FakeServer([status(500, retry_after="30")]) as server:
        started = time.monotonic()
        with pytest.raises(ServerError, match="status 500"):
            served(server, retries=5).generate(PROMPT, max_tokens=5, meter=Budget(seconds=1).meter())
        assert time.monotonic() - started < 2


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    model = ServedLanguageModel("http://127.0.0.1:1/v1", api_key_env="MY_KEY")
    assert model._connection.client.api_key == "secret"


def test_counts_are_estimates_on_the_high_side():
    model = ServedLanguageModel("http://127.0.0.1:1/v1", model="m")
    assert model.count(["", "abc", "中文", "abcd中"]) == [0, 1, 2, 3]
    assert model.fingerprint != ServedLanguageModel("http://127.0.0.1:1/v1", model="n").fingerprint


def test_in_bulk_order_is_kept_and_requests_overlap():
    def slow(request):
        number = int(request["messages"][0]["content"])
        return reply(str(number), delay=0.02 * (8 - number))

    with FakeServer(slow) as server:
        steps, arrivals = [], []
        model = served(server, concurrency=8)
        started = time.monotonic()
        found = model.generate_many(
            [[Segment(str(number))] for number in range(8)],
            max_tokens=5,
            progress=lambda *step: steps.append(step),
            arrived=arrivals.append,
        )
        assert time.monotonic() - started < 0.6  # one after the other: 0.72
    assert found == [str(number) for number in range(8)]
    assert steps == [("generate", done, 8) for done in range(1, 9)]
    assert sorted(arrival.place for arrival in arrivals) == list(range(8))
    assert arrivals[0].place != 0
    assert all(arrival.ended and arrival.reply_tokens == 5 for arrival in arrivals)


def test_one_failing_prompt_leaves_the_others():
    def script(request):
        return status(400, "no") if request["messages"][0]["content"] == "3" else reply("ok")

    with FakeServer(script) as server:
        arrivals = []
        prompts = [[Segment(str(number))] for number in range(8)]
        with pytest.raises(ServerError, match=r"status 400: no \(7 of 8 prompts succeeded; number 4 is the first"):
            served(server, concurrency=2).generate_many(prompts, max_tokens=5, arrived=arrivals.append)
    assert sorted(arrival.place for arrival in arrivals) == [0, 1, 2, 4, 5, 6, 7]


def test_a_hopeless_failure_ends_the_call():
    with FakeServer([status(401, "wrong key")]) as server:
        with pytest.raises(ServerError, match="OPENAI_API_KEY"):
            served(server, concurrency=2).generate_many([PROMPT] * 50, max_tokens=5)
        assert len(server.requests) <= 4


def test_the_rate_is_limited():
    with FakeServer() as server:
        started = time.monotonic()
        served(server, requests_per_minute=600).generate_many([PROMPT] * 5, max_tokens=5)
        assert time.monotonic() - started >= 0.4  # the listing of models is a request too


def test_ctrl_c_stops_at_once():
    code = (
        "import sys; from ragkit.models.served import ServedLanguageModel; from ragkit.protocols import Segment\n"
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # off in background jobs
        "model = ServedLanguageModel(sys.argv[1], model='fake'); print('asking', flush=True)\n"
        "model.generate_many([[Segment('x')]] * 40, max_tokens=5)"
    )
    with FakeServer([reply("late", delay=3.0)]) as server:
        child = subprocess.Popen([sys.executable, "-c", code, server.url], stdout=-1, stderr=-1, text=True)
        assert child.stdout.readline() == "asking\n"
        while not server.requests:
            time.sleep(0.01)
        started = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=10)
        assert time.monotonic() - started < 2
        assert "KeyboardInterrupt" in error
    assert len(server.requests) <= 16


def test_inside_a_running_event_loop():
    async def notebook(model):
        return model.generate(PROMPT, max_tokens=5)

    with FakeServer() as server:
        assert asyncio.run(notebook(served(server))) == "ok"


def test_an_address_is_an_address():
    with pytest.raises(UsageError, match="not the address"):
        ServedLanguageModel("localhost:8000")


def test_parse_llm():
    assert parse_llm("http://h:1/v1").options == {"base_url": "http://h:1/v1"}
    assert parse_llm(" https://h/v1#a/b ").options == {"base_url": "https://h/v1", "model": "a/b"}
    assert parse_llm("/models/mine").options == {"model": "/models/mine"}
    assert parse_llm("vllm:HuggingFaceTB/SmolLM2-135M").options == {"model": "HuggingFaceTB/SmolLM2-135M"}
    assert parse_llm("vllm:x").name == "vllm"
    for nothing in (" ", "vllm: "):
        with pytest.raises(UsageError):
            parse_llm(nothing)


@pytest.mark.parametrize(
    "options",
    [
        *({"concurrency": 0}, {"requests_per_minute": 0}, {"retries": -1}),
        *({"timeout": 0}, {"timeout": -1.0}, {"timeout": float("nan")}, {"window": 0}, {"window": 1}),
    ],
)
def test_limits_are_limits(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} .*expected"):
        ServedLanguageModel("http://127.0.0.1:1/v1", **options)


@pytest.mark.parametrize(
    "price", ["cheap", 3, {"input": 1}, {"input": -1, "output": 1}, {"input": 1, "output": 2, "cached": 1}]
)
def test_a_wrong_price_is_a_configuration_error(price):
    with pytest.raises(ConfigError, match="price"):
        create("language_models", "served", {"base_url": "http://127.0.0.1:1/v1", "price": price})
    with pytest.raises(ConfigError, match="has no option 'price'"):
        create("language_models", "local", {"price": price})


def test_the_address_must_be_given():
    with pytest.raises(ConfigError, match="'served' needs the option 'base_url'"):
        create("language_models", "served", {"model": "x"})


def test_a_given_window_is_part_of_the_fingerprint():
    url = "http://127.0.0.1:1/v1"
    found = {ServedLanguageModel(url, "x", window=window).fingerprint for window in (None, 100, 200)}
    assert len(found) == 3


def reasoning(request):
    """Refuse what OpenAI's reasoning models do, in their words."""
    if "max_tokens" in request:
        return status(400, "Unsupported parameter: 'max_tokens'... Use 'max_completion_tokens' instead.")
    if "temperature" in request:
        return status(400, "Unsupported value: 'temperature' does not support 0 with this model.")
    return reply(f"at most {request['max_completion_tokens']}")


def test_a_model_that_takes_other_words_is_asked_in_them():
    with FakeServer(reasoning) as server:
        model = served(server)
        with pytest.warns(RagkitWarning, match="takes no temperature of 0") as told:
            assert model.generate_many([PROMPT] * 4, max_tokens=20) == ["at most 20"] * 4
        assert len(told) == 1
        before = len(server.requests)
        assert model.generate(PROMPT, max_tokens=7) == "at most 7"
        assert len(server.requests) == before + 1
        with pytest.raises(ServerError, match="does not support"):
            model.generate(PROMPT, max_tokens=7, sampling=Sampling(temperature=0.5))


def test_a_refused_length_is_asked_once_more_at_most():
    said = status(400, "'max_tokens' is not supported; use 'max_completion_tokens'. That is unsupported, too.")
    with FakeServer([said]) as server:
        with pytest.raises(ServerError, match="status 400"):
            served(server).generate(PROMPT, max_tokens=20)
        assert [sorted({"max_tokens", "max_completion_tokens"} & set(one)) for one in server.requests] == [
            ["max_tokens"],
            ["max_completion_tokens"],
        ]
