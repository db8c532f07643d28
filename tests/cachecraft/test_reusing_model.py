"""The language model that answers through chunk reuse: what it delegates, books, keeps apart, and refuses."""

from __future__ import annotations

import gc
import warnings
import weakref
from datetime import date

import pytest

from ragkit.budget import Budget
from ragkit.cachecraft import session as session_module
from ragkit.cachecraft.gate_file import GateResult
from ragkit.cachecraft.language_model import ReusingLanguageModel
from ragkit.cachecraft.probe_set import VERSION
from ragkit.cachecraft.report import collected_reports
from ragkit.config import KvReuseConfig
from ragkit.errors import BudgetExceededError, ModelError, RagkitWarning, UnsupportedError, UsageError
from ragkit.models.cached import CachedLanguageModel
from ragkit.protocols import LanguageModel, Segment
from tests.scripted_models import ScriptedModel

from .conftest import prompt

QUESTION = prompt((0, 1), "Who dredged the harbour of Oke?")


def settings(folder, **changes) -> KvReuseConfig:
    return KvReuseConfig(**{"store": str(folder), "gate": False, **changes})


@pytest.fixture
def made(smollm, tmp_path):
    """Return a function that makes a model with a store in a folder; all are closed in the end."""
    models = []

    def make(**changes) -> ReusingLanguageModel:
        models.append(ReusingLanguageModel(smollm, smollm, settings(tmp_path, **changes)))
        return models[-1]

    yield make
    for model in models:
        model.close()


def test_it_is_a_language_model_and_making_one_loads_nothing(smollm, tmp_path):
    model = ReusingLanguageModel(smollm, smollm, settings(tmp_path))
    assert isinstance(model, LanguageModel)
    assert (model.name, model.window) == (smollm.name, smollm.window)
    assert model.template_tokens == smollm.template_tokens
    assert model.count(["Kilns."]) == smollm.count(["Kilns."])
    assert not any(tmp_path.iterdir())


def test_the_reply_at_share_one_is_that_of_the_plain_model_here(made, smollm):
    model = made(share=1.0)
    first = model.generate(QUESTION, max_tokens=12)
    with collected_reports() as reports:
        again = model.generate(QUESTION, max_tokens=12)
    assert first == again == smollm.generate(QUESTION, max_tokens=12)
    assert reports[0].repaired_tokens == reports[0].context_tokens


def test_what_was_kept_is_used_after_a_restart(made):
    before = made()
    before.generate(QUESTION, max_tokens=1)
    before.close()
    with collected_reports() as reports:
        made().generate(prompt((1, 0), "What does a lock do?"), max_tokens=1)
    assert reports[0].cold_tokens == 0
    assert reports[0].loaded_bytes > 0


def test_other_prompts_and_abilities_are_the_models_own(made, smollm):
    model = made()
    asked = [Segment("Name a colour.")]
    with collected_reports() as reports:
        assert model.generate(asked, max_tokens=4) == smollm.generate(asked, max_tokens=4)
        assert model.label_probabilities([asked], ["a", "b"]).shape == (1, 2)
        assert len(model.score(["Kilns fire clay."])[0].nll) > 2
    assert not reports
    assert model._session is None, "nothing was opened for them"


def test_many_prompts_keep_their_places(made, smollm):
    model = made(share=1.0)
    plain = [Segment("Name a colour.")]
    told = []
    found = model.generate_many([QUESTION, plain, QUESTION], max_tokens=4, progress=lambda *step: told.append(step))
    assert found == [model.generate(QUESTION, max_tokens=4), smollm.generate(plain, max_tokens=4), found[0]]
    assert told == [("generate", done, 3) for done in (1, 2, 3)]


def test_the_reply_cache_neither_answers_nor_keeps_replies_over_chunks(smollm, tmp_path):
    from ragkit.models.blob_cache import BlobCache

    cached = CachedLanguageModel(smollm, BlobCache(tmp_path / "replies.sqlite", 1 << 20, what="test"))
    model = ReusingLanguageModel(cached, smollm, settings(tmp_path / "store"))  # type: ignore[arg-type]
    with collected_reports() as reports:
        for _ in range(2):
            model.generate(QUESTION, max_tokens=2)
    assert [report.cold_tokens > 0 for report in reports] == [True, False]
    assert model.fingerprint != cached.fingerprint
    model.close()
    cached.close()


def test_fingerprints_differ_with_what_may_change_a_reply(smollm, tmp_path):
    changes = [{}, {"policy": "epic"}, {"share": 1.0}, {"alpha": 1.0}, {"run_length": 8}, {"order": "cached"}]
    found = {ReusingLanguageModel(smollm, smollm, settings(tmp_path, **one)).fingerprint for one in changes}
    assert len(found | {smollm.fingerprint}) == len(changes) + 1


def test_what_a_reply_takes_is_booked_and_bounded(made):
    model = made()
    meter = Budget().meter()
    model.generate(QUESTION, max_tokens=3, meter=meter)
    row = meter.report()["stages"]["generate"]
    assert (row["calls"], row["reply_tokens"], row["unpriced"]) == (1, 3, 0)
    assert row["prompt_tokens"] == len(model.layout(QUESTION).ids)
    with pytest.raises(BudgetExceededError):
        model.generate(QUESTION, max_tokens=3, meter=Budget(tokens=20).meter())
    late = Budget(seconds=0.05).meter()
    with pytest.raises(BudgetExceededError):
        model.generate(QUESTION, max_tokens=400, meter=late)


def test_a_question_before_the_chunks_is_refused_by_name(made):
    with pytest.raises(UsageError, match="question before the chunks"):
        made().generate([Segment("What?\n"), Segment("Clay.", "a")], max_tokens=1)


def test_a_prompt_that_fits_only_as_one_text_is_answered_without_reuse(made, smollm, monkeypatch):
    model = made()
    torn = [Segment("The tale is wond", "a"), Segment("erful.", "b"), Segment("\n\nWhat is it?")]
    layout = model.layout(torn)
    with smollm.loaded() as engine:
        joined = engine.prompt_ids("".join(segment.text for segment in torn))
    assert layout.borders == 1
    assert len(layout.ids) > len(joined)
    monkeypatch.setitem(smollm.__dict__, "window", len(joined) + 4)
    with collected_reports() as reports:
        assert model.generate(torn, max_tokens=4) == smollm.generate(torn, max_tokens=4)
    assert "window" in reports[0].off
    with pytest.raises(ModelError, match="together"):
        model.generate(QUESTION, max_tokens=400)


@pytest.mark.parametrize("lost", ["blobs", "ends of blobs", "catalog"])
def test_what_the_store_has_lost_is_a_warning_once(made, tmp_path, lost):
    before = made()
    before.generate(QUESTION, max_tokens=1)
    before.close()
    if lost == "catalog":
        next(tmp_path.rglob("catalog.sqlite")).write_bytes(bytes(range(256)) * 32)
    else:
        for path in tmp_path.rglob("*.kv"):
            path.write_bytes(path.read_bytes()[:-1] + (b"?" if lost == "blobs" else b""))
    after = made()
    with warnings.catch_warnings(record=True) as told, collected_reports() as reports:
        warnings.simplefilter("always")
        after.generate(QUESTION, max_tokens=1)
        after.generate(prompt((1, 0), "What does a lock do?"), max_tokens=1)
    (only,) = [str(one.message) for one in told if "could not give back" in str(one.message)]
    assert ("disk: " in only, "catalog: " in only) == (lost != "catalog", lost == "catalog")
    assert reports[0].cold_tokens == reports[0].context_tokens
    assert reports[1].cold_tokens == 0


def test_what_was_never_kept_is_no_loss(made):
    model = made(memory_bytes=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.generate(QUESTION, max_tokens=1)
        model.generate(QUESTION, max_tokens=1)
    assert set(model.open().store.stats().failures) == {"memory: too large"}


def test_a_model_out_of_reach_is_refused_and_what_has_reuse_is_named():
    with pytest.raises(UnsupportedError, match="ScriptedModel") as caught:
        ReusingLanguageModel(ScriptedModel(), ScriptedModel(), KvReuseConfig())
    assert "local model" in caught.value.hint
    assert "--no-kv-reuse" in caught.value.hint


def test_an_unsupported_model_is_refused_by_name_and_told_how_to_go_on(made, monkeypatch):
    def refuse(*_: object) -> None:
        raise UnsupportedError("Chunk reuse does not work with this gpt2 model: it has no rotary positions.")

    monkeypatch.setattr(session_module, "HfBackend", refuse)
    with pytest.raises(UnsupportedError, match="gpt2 model: it has no rotary") as caught:
        made().generate(QUESTION, max_tokens=1)
    assert "--no-kv-reuse" in caught.value.hint


def test_the_gate_runs_once_and_a_model_that_fails_it_answers_as_ever(made, smollm, monkeypatch):
    calls = []

    def measured(*_: object, **__: object) -> GateResult:
        calls.append(1)
        return GateResult("cachecraft", 0.15, None, 8, 3.0, 4.0, 0.2, 8, 1.0, VERSION)

    monkeypatch.setattr(session_module, "run_gate", measured)
    model = made(gate=True)
    with pytest.warns(RagkitWarning, match="stays off"), collected_reports() as reports:
        assert model.generate(QUESTION, max_tokens=4) == smollm.generate(QUESTION, max_tokens=4)
    assert "3.00 nats" in reports[0].off
    model.close()
    model = made(gate=True)
    with pytest.warns(RagkitWarning, match="stays off"):
        model.open()
    assert len(calls) == 1, "the result lies beside the store"
    model.close()
    model = made(gate=True, share=0.5)
    with pytest.warns(RagkitWarning, match="stays off"):
        model.open()
    assert len(calls) == 2, "another share is another question"


@pytest.mark.parametrize("tokens", [0, -1])
def test_a_reply_of_no_tokens_is_refused_by_name(made, smollm, tokens):
    for model in (made(), smollm):
        with pytest.raises(UsageError, match=f"reply of {tokens} tokens"):
            model.generate(QUESTION, max_tokens=tokens)


def test_a_closed_store_is_let_go(made):
    model = made()
    seen = []
    for _ in range(2):
        seen.append(weakref.ref(model.open().store))
        model.close()
    gc.collect()
    assert [one() for one in seen] == [None, None]


def test_sampled_requests_are_counted_beside_the_store(made):
    model = made(sample_share=1.0)
    for question in ("Who?", "What?"):
        model.generate(prompt((0, 1), question), max_tokens=1)
    live = model.open().file.read().all_live
    assert live.requests == 1, "of the first one nothing was reused"


def test_chunks_can_be_put_into_the_order_that_is_stored(made):
    model = made(order="cached")
    model.generate(prompt((2, 0, 1), "Who?"), max_tokens=1)
    assert model.fitting_order(prompt((0, 1, 2), "Who?")) == [2, 0, 1]


DATED = (
    '{%- if not date_string is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}'
    "<|im_start|>system\nToday Date: {{ date_string }}<|im_end|>\n<|im_start|>user\n"
    "{{ messages[0]['content'] | trim }}<|im_end|>\n<|im_start|>assistant\n"
)


def test_a_template_that_shows_today_is_told_of_and_a_pinned_day_is_that_of_both_paths(made, smollm, monkeypatch):
    with smollm.loaded() as engine:
        monkeypatch.setattr(engine.tokenizer, "chat_template", DATED)
        model = made(share=1.0)
        with pytest.warns(RagkitWarning, match="template_date: 2025-01-01"):
            model.open()
        model.close()
        monkeypatch.setattr(engine, "day", date(2024, 7, 26))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RagkitWarning)
        pieces = model.open().pieces
    assert "26 Jul 2024" in engine.tokenizer.decode(pieces.prefix)
    with collected_reports() as reports:
        for asked in (QUESTION, prompt((1, 0), "What does a lock do?")):
            assert model.generate(asked, max_tokens=6) == smollm.generate(asked, max_tokens=6)
    assert [report.borders for report in reports] == [0, 0]
    assert reports[1].cold_tokens == 0
