"""Records of the local language model: valid JSON from models that never write it unaided."""

import json
from typing import Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from ragkit.errors import SchemaError
from ragkit.inference import Sampling
from ragkit.models.blob_cache import BlobCache
from ragkit.models.cached import CachedLanguageModel
from ragkit.models.causal.constraint import _closed
from ragkit.models.each_record import each_record
from ragkit.models.local import LocalLanguageModel
from ragkit.protocols import Segment

WORDS = ["the cat", "a", "the dog ran to the house", "yes"]
PROMPTS = [[Segment(text)] for text in WORDS]


class Bounded(BaseModel):
    name: str = Field(max_length=6)
    kind: Literal["term", "reference"]
    count: int = Field(ge=0, le=9)
    tags: list[Literal["x", "y"]] = Field(max_length=2)


class Entry(BaseModel):
    mention: str
    sure: bool


class Unbounded(BaseModel):
    entries: list[Entry]
    note: str


@pytest.fixture(scope="module")
def model(tiny_causal):
    return LocalLanguageModel(str(tiny_causal), device="cpu")


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, seed=3)])
def test_random_weights_write_valid_records(model, sampling):
    found = model.generate_records(PROMPTS, Bounded, max_tokens=100, sampling=sampling)
    assert [type(one) for one in found] == [Bounded] * len(PROMPTS)
    assert found == [
        model.generate_records([prompt], Bounded, max_tokens=100, sampling=sampling)[0] for prompt in PROMPTS
    ]
    assert model.generate_records([], Bounded, max_tokens=5) == []


def test_a_reply_cut_short_is_an_error_with_the_reply(model):
    with pytest.raises(SchemaError, match="did not complete its Bounded within 5 tokens") as caught:
        model.generate_records(PROMPTS, Bounded, max_tokens=5)
    assert caught.value.reply.startswith("{")
    assert "max_length" in caught.value.hint


def test_the_others_of_the_batch_arrive_before_the_error(model):
    class Even(BaseModel):
        count: int = Field(ge=0, le=9)

        @field_validator("count")
        @classmethod
        def _even(cls, value: int) -> int:
            if value != allowed:
                raise ValueError("not this one")
            return value

    drawn = Sampling(temperature=3.0, seed=1)
    allowed = None
    replies = []
    for prompt in PROMPTS:
        with pytest.raises(SchemaError, match="is no Even: count") as caught:
            model.generate_records([prompt], Even, max_tokens=30, sampling=drawn)
        replies.append(json.loads(caught.value.reply)["count"])
    allowed = replies[-1]
    arrived = []
    if len(set(replies)) > 1:
        with pytest.raises(SchemaError):
            model.generate_records(PROMPTS, Even, max_tokens=30, sampling=drawn, arrived=arrived.append)
    assert len(arrived) == replies.count(allowed) or len(set(replies)) == 1


def test_every_reply_that_does_not_fit_is_told_and_all_others_are_written(tiny_causal, tmp_path):
    model = LocalLanguageModel(str(tiny_causal), device="cpu", batch_tokens=1)  # each prompt is a batch of its own
    lengths = [len(model._loaded.prompt_ids(text)) for text in WORDS]
    whole = [model.generate_records([prompt], Bounded, max_tokens=100)[0].model_dump_json() for prompt in PROMPTS]
    assert len(set(lengths)) > 1

    class Picky(Bounded):
        @field_validator("name")
        @classmethod
        def _other(cls, value: str) -> str:
            if value in refused:
                raise ValueError("not this one")
            return value

    refused = {Bounded.model_validate_json(whole[at]).name for at in (0, 2)}
    bad = {at for at, text in enumerate(whole) if Bounded.model_validate_json(text).name in refused}
    assert 0 < len(bad) < len(PROMPTS)
    arrived = []
    with pytest.raises(SchemaError) as caught:
        model.generate_records(PROMPTS, Picky, max_tokens=100, arrived=lambda one: arrived.append(one.place))
    assert set(caught.value.failed) == bad
    assert all(json.loads(caught.value.failed[at].reply) == json.loads(whole[at]) for at in bad)
    assert sorted(arrived) == sorted(set(range(len(PROMPTS))) - bad)
    kept = CachedLanguageModel(model, BlobCache(tmp_path / "replies.sqlite", 1 << 20, what="test"))
    twice = [PROMPTS[1], *PROMPTS, PROMPTS[0]]
    for _ in range(2):  # the second time with some of them from the cache
        with pytest.raises(SchemaError) as caught:
            kept.generate_records(twice, Picky, max_tokens=100)
        assert set(caught.value.failed) == {at + 1 for at in bad} | {len(PROMPTS) + 1} | ({0} if 1 in bad else set())
    asked = []

    def ask(some):
        asked.append(len(some))
        return kept.generate_records(some, Picky, max_tokens=100)

    found = each_record(ask, PROMPTS)
    assert [isinstance(one, SchemaError) for one in found] == [at in bad for at in range(len(PROMPTS))]
    assert asked == [len(PROMPTS), len(PROMPTS) - len(bad)]


def test_closing_ends_a_looping_string_and_a_looping_list(model):
    """Tokens are forced: the matcher must allow the loop at first and then only its end."""
    import numpy as np

    from ragkit.models.causal.constraint import _bits

    grammars = model._loaded.grammars
    tokenizer = model._loaded._tokenizer

    def run(preferred: str, limit: int = 400) -> str:
        """Write with a model that always continues `preferred` where it may, else takes the first token allowed."""
        matcher = grammars.matchers(Unbounded, 1)[0]
        ids = tokenizer(preferred, add_special_tokens=False)["input_ids"]
        reply: list[int] = []
        step = 0
        for _ in range(limit):
            out = np.full((1, -(-grammars.vocabulary // 32)), -1, np.int32)
            matcher.allow(out, 0)
            allowed = _bits(out, grammars.vocabulary)[0]
            wanted = ids[step % len(ids)]
            if allowed[wanted]:
                step += 1
            token = wanted if allowed[wanted] else int(np.flatnonzero(allowed)[0])
            reply.append(token)
            if matcher.add(token):
                return model._loaded.text(reply)
        raise AssertionError(f"never ended: {model._loaded.text(reply)}")

    looping = Unbounded.model_validate_json(run("the cat "))
    assert looping.note.startswith("the cat")
    assert len(looping.note) < 200
    entries = Unbounded.model_validate_json(run('{"entries": [' + '{"mention": "the mat", "sure": true}, ' * 40))
    assert 3 < len(entries.entries) < 20
    assert {entry.mention for entry in entries.entries} == {"the mat"}


def test_objects_are_closed_unless_the_schema_opens_them():
    class Open(BaseModel, extra="allow"):
        inner: Entry
        table: dict[str, int]

    schema = _closed(Open.model_json_schema())
    assert schema["additionalProperties"] is True
    assert schema["$defs"]["Entry"]["additionalProperties"] is False
    assert schema["properties"]["table"]["additionalProperties"] == {"type": "integer"}


@pytest.mark.models
def test_the_real_model_writes_valid_records(smollm):
    class Person(BaseModel):
        name: str
        age: int
        job: Literal["cook", "pilot"]

    found = smollm.generate_records(
        [[Segment("Anna is a 34 year old pilot. Give her as JSON.")], [Segment("Bob, 20, cooks. JSON please.")]],
        Person,
        max_tokens=40,
    )
    assert found[0] == Person(name="Anna", age=34, job="pilot")
    assert isinstance(found[1], Person)
