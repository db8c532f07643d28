"""The language models' cache: nothing asked twice, nothing paid for lost, damage is a miss."""

import os
import sqlite3
import subprocess
import sys
import time
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from ragkit.budget import Budget
from ragkit.errors import ModelError, SchemaError, ServerError, UsageError
from ragkit.inference import Sampling, TokenScores, Windows
from ragkit.models import remembering
from ragkit.models.blob_cache import BlobCache
from ragkit.models.cached import CachedLanguageModel, cached_language_model
from ragkit.models.served import ServedLanguageModel
from ragkit.models.stored import score_form
from ragkit.protocols import LanguageModel, Segment
from ragkit.testing import FakeServer, ScriptedLanguageModel
from ragkit.testing.server import reply, status


class Fact(BaseModel):
    kind: Literal["fact", "question"]
    number: int = Field(ge=0, le=9)


def scripted(replies=str.upper, **options):
    return ScriptedLanguageModel(
        replies,
        records={"": {"kind": "fact", "number": 3}},
        scores=lambda text, context: np.arange(len(text.split())) + len(context),
        labels=lambda prompt, labels: [1 / (2 + len(label)) for label in labels],
        **options,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "replies.sqlite"


def over(model, path, **options):
    return CachedLanguageModel(model, BlobCache(path, 1 << 26, what="test"), **options)


def prompts(*texts):
    return [[Segment(text)] for text in texts]


def test_hits_never_reach_the_model(path):
    inner = scripted()
    first = over(inner, path)
    assert isinstance(first, LanguageModel)
    calls = [
        lambda model: model.generate_many(prompts("a", "b", "a"), max_tokens=5),
        lambda model: model.generate_records(prompts("a", "b"), Fact, max_tokens=50),
        lambda model: model.score(["a b", "", "c"], contexts=["x", "", ""]),
        lambda model: model.label_probabilities(prompts("a"), ["Yes", "No"]),
    ]
    before = [call(first) for call in calls]
    assert [ability for ability, _ in inner.calls] == ["generate"] * 2 + ["records"] * 2 + ["score"] * 3 + ["labels"]
    first.close()
    again = over(ScriptedLanguageModel(), path)  # has no script: it would raise
    after = [call(again) for call in calls]
    assert after[:2] == before[:2]
    for one, other in zip(before[2], after[2], strict=True):
        assert one.nll.dtype == other.nll.dtype == np.float32
        assert one.spans.dtype == other.spans.dtype == np.int64
        assert np.array_equal(one.nll, other.nll)
        assert np.array_equal(one.spans, other.spans)
    assert np.array_equal(before[3], after[3])
    assert again.generate(prompts("b")[0], max_tokens=5) == "B"


def test_everything_that_changes_the_result_is_in_the_key(path):
    class Other(BaseModel):
        kind: str

    inner = scripted()
    model = over(inner, path)
    varied = [
        lambda: model.generate(prompts("a")[0], max_tokens=5),
        lambda: model.generate(prompts("a")[0], max_tokens=6),
        lambda: model.generate(prompts("a")[0], max_tokens=5, sampling=Sampling(temperature=1.0)),
        lambda: model.generate(prompts("a")[0], max_tokens=5, sampling=Sampling(temperature=1.0, seed=1)),
        lambda: model.generate(prompts("a")[0], max_tokens=5, sampling=Sampling(repetition_penalty=1.1)),
        lambda: model.generate_records(prompts("a"), Fact, max_tokens=5),
        lambda: model.generate_records(prompts("a"), Other, max_tokens=5),
        lambda: model.score(["a"]),
        lambda: model.score(["a"], contexts=["b"]),
        lambda: model.score(["a"], windows=Windows(8, 8)),
        lambda: model.label_probabilities(prompts("a"), ["x"]),
        lambda: model.label_probabilities(prompts("a"), ["x", "y"]),
        lambda: over(scripted(name="another"), path).generate(prompts("a")[0], max_tokens=5),
    ]
    for number, call in enumerate(varied[:-1], 1):
        call()
        call()
        assert len(inner.calls) == number
    varied[-1]()
    assert len(inner.calls) == len(varied) - 1  # the other model was asked itself
    model.generate([Segment("", "chunk"), Segment("a")], max_tokens=5, sampling=Sampling(seed=9))  # greedy: no seed
    assert len(inner.calls) == len(varied) - 1


def test_what_one_number_format_computed_is_not_the_others(path):
    asked = []
    for numbers in ("float32", "bfloat16", "float32"):
        model = scripted()
        model.number_format = numbers  # as a local model has it
        over(model, path).score(["a b"])
        asked.append(len(model.calls))
    assert asked == [1, 1, 0]


def test_cached_calls_cost_nothing_and_are_counted(path):
    model = over(scripted(), path)
    meter = Budget().meter()
    model.generate_many(prompts("a b", "c"), max_tokens=5, meter=meter)
    spent = meter.tokens
    later = Budget(tokens=0, seconds=1e9).meter().stage("summary")
    assert model.generate_many(prompts("c", "a b", "c"), max_tokens=5, meter=later) == ["C", "A B", "C"]
    row = later.report()["stages"]["summary"]
    assert (row["calls"], row["cached"], row["tokens"], spent) == (0, 3, 0, 6)


@pytest.mark.parametrize("grow", [list, None])
def test_the_trace(path, grow):
    told = []
    model = over(scripted(), path, trace=told if grow else told.append)
    meter = Budget().meter()
    for _ in range(2):
        model.generate(prompts("a b")[0], max_tokens=5, meter=meter.stage("answer"))
    model.score(["a b c"])
    assert [(one.stage, one.ability, one.model, one.cached) for one in told] == [
        ("answer", "generate", "scripted", False),
        ("answer", "generate", "scripted", True),
        ("score", "score", "scripted", False),
    ]
    assert [(one.prompt_tokens, one.reply_tokens) for one in told] == [(2, 2), (2, 2), (3, 0)]
    assert told[1].seconds == pytest.approx(told[0].seconds)


def test_what_arrived_is_kept_when_a_later_prompt_fails(path):
    refusing = {"5"}

    def script(request):
        said = request["messages"][0]["content"]
        return status(400, "no") if said in refusing else reply(said)

    asked = prompts(*map(str, range(12)))
    with FakeServer(script) as server:
        model = over(ServedLanguageModel(server.url, concurrency=3), path)
        with pytest.raises(ServerError, match="11 of 12"):
            model.generate_many(asked, max_tokens=5)
        refusing.clear()
        assert model.generate_many(asked, max_tokens=5) == [str(number) for number in range(12)]
        assert len(server.requests) == 13


def test_what_arrived_is_kept_when_the_process_is_killed(path):
    code = (
        "import sys; from pathlib import Path; from ragkit.models.blob_cache import BlobCache\n"
        "from ragkit.models.cached import CachedLanguageModel; from ragkit.models.served import ServedLanguageModel\n"
        "from ragkit.protocols import Segment\n"
        "model = CachedLanguageModel(ServedLanguageModel(sys.argv[1], model='fake', concurrency=1),"
        " BlobCache(Path(sys.argv[2]), 1 << 26, what='test'))\n"
        "model.generate_many([[Segment(str(n))] for n in range(100)], max_tokens=5)"
    )
    with FakeServer(lambda request: reply(request["messages"][0]["content"], delay=0.02)) as server:
        child = subprocess.Popen([sys.executable, "-c", code, server.url, path])
        while len(server.requests) < 20:
            time.sleep(0.01)
        child.kill()
        child.wait(10)
        before = len(server.requests)
        model = over(ServedLanguageModel(server.url, model="fake"), path)
        model.generate_many(prompts(*map(str, range(100))), max_tokens=5)
        assert len(server.requests) - before <= 100 - before + 2


def test_slices_are_kept_where_a_model_tells_nothing_before_it_is_done(path, monkeypatch):
    monkeypatch.setattr(remembering, "_FIRST_SLICE", 2)
    inner = scripted({"5": ModelError("no"), "": "yes"})
    model = over(inner, path)
    steps = []
    with pytest.raises(ModelError):
        model.generate_many(prompts(*"012345"), max_tokens=5, progress=lambda *step: steps.append(step))
    assert steps == [("generate", 2, 6)]
    asked = len(inner.calls)
    model.generate_many(prompts(*"01234"), max_tokens=5)
    assert len(inner.calls) - asked == 3


def test_a_reply_that_a_budget_may_have_cut_is_not_kept(path):
    def script(request):
        room = request["max_tokens"]
        return reply("word " * min(room, 30), tokens=min(room, 30), finish="length" if room < 30 else "stop")

    with FakeServer(script) as server:
        model = over(ServedLanguageModel(server.url, window=4000), path)
        short = model.generate(prompts("a")[0], max_tokens=50, meter=Budget(tokens=50).meter())
        assert 10 <= len(short.split()) < 30
        whole = model.generate(prompts("a")[0], max_tokens=50, meter=Budget(tokens=500).meter())
        assert len(whole.split()) == 30
        assert model.generate(prompts("a")[0], max_tokens=50) == whole
        assert len(server.requests) == 2


def test_records_that_do_not_fit_are_not_kept(path):
    model = over(ScriptedLanguageModel(records=['{"kind": 1}', {"kind": "fact", "number": 1}]), path)
    with pytest.raises(SchemaError):
        model.generate_records(prompts("a"), Fact, max_tokens=5)
    assert model.generate_records(prompts("a"), Fact, max_tokens=5)[0].number == 1


def test_damage_is_a_miss(path):
    inner = scripted()
    model = over(inner, path)
    model.score(["a b"])
    model.close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE results SET value = zeroblob(20)")
    assert over(inner, path).score(["a b"])[0].nll.tolist() == [0, 1]
    assert len(inner.calls) == 2
    path.write_bytes(b"no database" * 1000)
    assert over(inner, path).score(["a b"])[0].nll.tolist() == [0, 1]
    over(inner, path).score(["a b"])
    assert len(inner.calls) == 3


def test_wrong_calls_are_the_models_to_refuse(path):
    with FakeServer() as server, pytest.raises(UsageError, match="1 texts and 2 contexts"):
        over(ServedLanguageModel(server.url), path).score(["a"], contexts=["b", "c"])
    assert over(scripted(), path).label_probabilities([], ["Yes"]).shape == (0, 1)
    assert over(scripted(), path).generate_many([], max_tokens=5) == []


def test_many_cached_replies_are_read_quickly(path):
    model = over(scripted(), path)
    asked = prompts(*(f"prompt number {number} " + "word " * 50 for number in range(10_000)))
    model.generate_many(asked, max_tokens=60)
    best = min(_seconds(lambda: model.generate_many(asked, max_tokens=60)) for _ in range(3))
    assert best < 1.0


def _seconds(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=30),
    st.lists(st.floats(0, 50, width=32) | st.just(float("nan")), min_size=30, max_size=30),
)
def test_scores_come_back_as_they_were(steps, values):
    starts = np.cumsum([step for step, _ in steps], dtype=np.int64)
    spans = np.stack([starts, starts + [length for _, length in steps]], axis=1).astype(np.int64).reshape(-1, 2)
    scores = TokenScores(spans, np.array(values[: len(steps)], dtype=np.float32))
    form = score_form()
    back = form.read(form.write(scores))
    assert np.array_equal(back.spans, spans)
    assert np.array_equal(back.nll, scores.nll, equal_nan=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_opens_the_file_itself(path):
    cache = BlobCache(path, 1 << 24, what="test")
    cache.put({b"a" * 16: b"1"})
    child = os.fork()
    if child == 0:
        cache.put({b"b" * 16: b"2"})
        os._exit(len(cache.get([b"a" * 16, b"b" * 16])))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert cache.get([b"a" * 16, b"b" * 16]) == {b"a" * 16: b"1", b"b" * 16: b"2"}


def test_switches(monkeypatch, tmp_path):
    monkeypatch.setenv("RAGKIT_CACHE", str(tmp_path))
    monkeypatch.delenv("RAGKIT_LLM_CACHE", raising=False)
    model = ServedLanguageModel("http://127.0.0.1:1/v1", model="m")
    cached = cached_language_model(model)
    assert isinstance(cached, CachedLanguageModel)
    assert (cached.name, cached.fingerprint, cached.template_tokens) == ("m", model.fingerprint, 32)
    assert cached_language_model(model, enabled=False) is model
    assert cached_language_model(scripted()).calls == []
    monkeypatch.setenv("RAGKIT_LLM_CACHE", "off")
    assert cached_language_model(model) is model
    told = []
    traced = cached_language_model(scripted(), trace=told)
    traced.generate(prompts("a")[0], max_tokens=5)
    traced.generate(prompts("a")[0], max_tokens=5)
    assert [one.cached for one in told] == [False, False]
    with pytest.raises(AttributeError):
        _ = traced.nothing_of_this_name
