"""The kit passes every built-in model and finds what is broken."""

import numpy as np
import pytest

from ragkit.errors import ContractError
from ragkit.inference import TokenScores
from ragkit.models.blob_cache import BlobCache
from ragkit.models.cached import CachedLanguageModel
from ragkit.models.served import ServedLanguageModel
from ragkit.testing import FakeServer, ScriptedLanguageModel, ToyModel, check_language_model
from ragkit.testing.server import EVERYTHING, reply


def scripted(**options):
    return ScriptedLanguageModel(
        lambda prompt: prompt[::-1],
        records={"": {"kind": "fact", "number": 3}},
        scores=lambda text, context: [1.0 + len(context)] * COUNT([text])[0],
        labels=lambda prompt, labels: [1 / (1 + len(label)) / 4 for label in labels],
        **options,
    )


COUNT = ScriptedLanguageModel().count


def echo(request):
    said = request["messages"][-1]["content"] if "messages" in request else request["prompt"]
    return reply(said[::-1], tokens=len(said))


def test_the_scripted_model():
    check_language_model(scripted())


@pytest.mark.parametrize("owned_by", ["vllm", "another"])
@pytest.mark.parametrize("offers", [EVERYTHING, [name for name in EVERYTHING if name != "start"]])
def test_a_served_model_with_everything(owned_by, offers):
    with FakeServer(echo, toy=ToyModel(), owned_by=owned_by, offers=offers, max_model_len=900) as server:
        check_language_model(ServedLanguageModel(server.url))


def test_a_served_model_that_only_talks():
    with FakeServer(echo, max_model_len=900) as server:
        check_language_model(ServedLanguageModel(server.url), ["generate"])


def test_a_cached_model(tmp_path):
    with FakeServer(echo, toy=ToyModel(), owned_by="vllm", max_model_len=900) as server:
        for _ in range(2):
            cache = BlobCache(tmp_path / "replies.sqlite", 1 << 24, what="test")
            check_language_model(CachedLanguageModel(ServedLanguageModel(server.url), cache))
            cache.close()


@pytest.mark.models
@pytest.mark.slow
def test_the_local_model(smollm):
    check_language_model(smollm, max_tokens=4)


def broken(method, wrong):
    model = scripted()
    right = getattr(model, method)
    setattr(model, method, lambda *arguments, **options: wrong(right, *arguments, **options))
    return model


@pytest.mark.parametrize(
    ("method", "wrong", "message"),
    [
        ("count", lambda right, texts: [1] * len(texts), "counts"),
        ("generate_many", lambda right, prompts, **kw: right(prompts, **kw)[::-1], "other replies in bulk"),
        ("generate", lambda right, prompt, **kw: right(prompt[:1], **kw), "in pieces"),
        ("generate_many", lambda right, prompts, meter=None, **kw: right(prompts, **kw), "booked no call"),
        ("generate_records", lambda right, prompts, schema, **kw: [{"kind": "fact"}] * len(prompts), "records"),
        ("score", lambda right, texts, **kw: [TokenScores(s.spans + 1, s.nll) for s in right(texts, **kw)], "outside"),
        ("score", lambda right, texts, **kw: [TokenScores(s.spans[::2], s.nll[::2]) for s in right(texts, **kw)],
         "without a token"),
        ("score", lambda right, texts, **kw: [TokenScores(s.spans, -s.nll) for s in right(texts, **kw)], "negative"),
        ("score", lambda right, texts, **kw: [TokenScores(s.spans, s.nll * len(texts)) for s in right(texts, **kw)],
         "beside other texts"),
        ("label_probabilities", lambda right, prompts, labels, **kw: right(prompts, labels, **kw) * 9, "probabilities"),
        ("label_probabilities", lambda right, prompts, labels, **kw: np.tile(
            np.arange(len(labels)) / 9.0, (len(prompts), 1)), "order of the labels"),
    ],
)  # fmt: skip
def test_the_kit_finds_what_is_broken(method, wrong, message):
    with pytest.raises(ContractError, match=message):
        check_language_model(broken(method, wrong))
