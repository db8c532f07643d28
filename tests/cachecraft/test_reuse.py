"""One prompt through chunk reuse with real weights: what is computed, what is kept, and that no cache can hurt."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.planning import full_plan
from ragkit.cachecraft.core.policies import POLICIES
from ragkit.cachecraft.fetching import NOT_LOADED
from ragkit.cachecraft.reuse import ChunkReuse
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers.codec import PAGE
from ragkit.config import KvReuseConfig
from ragkit.errors import UnsupportedError
from ragkit.protocols import Segment

from .conftest import TEXTS, prompt

SETTINGS = KvReuseConfig(policy="cachecraft")


def changed(config: KvReuseConfig, **changes) -> KvReuseConfig:
    return KvReuseConfig(**{**config.model_dump(), **changes})


def plain(backend, layout, ends, tokens: int = 8) -> list[int]:
    """Return the greedy answer after full recompute."""
    return backend.decode([backend.run(full_plan(layout), {}, room=tokens)], tokens, ends=ends)[0]


@pytest.fixture
def filled(backend, pieces, memory):
    """Return a store that has seen three chunks."""
    first = ChunkReuse(backend, memory, SETTINGS).reply(pieces.layout(prompt((0, 1, 2), "Who dredged Oke?")), 4)
    assert first.report.kept == 4, "three chunks and the prefix"
    assert first.report.computed_tokens == first.report.prompt_tokens
    assert dict(first.report.misses) == {"no variant is stored": 4}
    return memory


def test_a_second_question_over_the_same_chunks_computes_little(backend, pieces, ends, filled):
    layout = pieces.layout(prompt((2, 0, 1), "What does a lock do?"))
    done = ChunkReuse(backend, filled, changed(SETTINGS, share=0.15)).reply(layout, 8, ends=ends)
    report = done.report
    full = ChunkReuse(backend, filled, changed(SETTINGS, policy="full")).reply(layout, 1).report
    print(f"first token after {report.first_token_seconds:.3f} s, in full {full.first_token_seconds:.3f} s")
    assert report.reused_tokens + report.repaired_tokens == report.context_tokens
    assert report.repaired_tokens == pytest.approx(0.15 * report.context_tokens, abs=1)
    fresh = len(layout.ids) - report.context_tokens - len(layout.prefix)
    assert report.computed_tokens == fresh + report.repaired_tokens
    assert full.computed_tokens == full.prompt_tokens == len(layout.ids)
    assert report.computed_tokens < 0.6 * full.computed_tokens
    assert report.loaded_bytes == (report.context_tokens + len(layout.prefix)) * backend.token_bytes
    assert report.generations == (0, 0, 0)
    assert (dict(report.misses), report.failures, report.kept) == ({}, (), 0)
    assert 0 < report.first_token_seconds <= sum(report.seconds.values())
    assert {"choose", "load", "plan", "compute", "answer", "keep"} == set(report.seconds)


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"none", "full"}))
def test_at_share_one_the_repair_path_writes_what_full_recompute_writes(backend, pieces, ends, filled, policy):
    layout = pieces.layout(prompt((1, 2, 0), "What do barges carry?"))
    done = ChunkReuse(backend, filled, changed(SETTINGS, policy=policy, share=1.0)).reply(layout, 8, ends=ends)
    assert done.report.repaired_tokens == done.report.context_tokens
    assert done.report.reused_tokens == 0
    assert done.report.share == 1.0
    assert done.tokens == plain(backend, layout, ends)


def test_the_same_order_again_is_exact_without_any_repair(backend, pieces, ends, filled):
    layout = pieces.layout(prompt((0, 1, 2), "What does a lock do?"))
    done = ChunkReuse(backend, filled, SETTINGS).reply(layout, 8, ends=ends)
    assert (done.report.repaired_tokens, done.report.cold_tokens) == (0, 0)
    assert done.tokens == plain(backend, layout, ends)


@pytest.mark.parametrize("policy", ["hkvd", "query_probe"])
def test_what_stands_as_it_was_made_is_neither_scored_nor_repaired(backend, pieces, ends, filled, policy):
    layout = pieces.layout(prompt((0, 1, 2), "What does a lock do?"))
    done = ChunkReuse(backend, filled, changed(SETTINGS, policy=policy)).reply(layout, 8, ends=ends)
    assert done.report.repaired_tokens == 0
    assert "score" not in done.report.seconds
    assert done.tokens == plain(backend, layout, ends)
    partly = pieces.layout(prompt((0, 2, 1), "What does a lock do?"))
    report = ChunkReuse(backend, filled, changed(SETTINGS, policy=policy, share=0.15)).reply(partly, 2).report
    first, *moved = (len(partly.pieces[at].ids) for at in partly.chunks)
    assert report.repaired_tokens == pytest.approx(0.15 * sum(moved), abs=1)
    assert 0 < report.repaired_tokens < 0.15 * (first + sum(moved))


def test_a_probe_does_not_compute_what_is_not_cached(backend, pieces, filled):
    layout = pieces.layout(prompt((2, 3, 0), "When was the flood?"))
    config = changed(SETTINGS, policy="query_probe", share=0.2)
    report = ChunkReuse(backend, filled, config).reply(layout, 2).report
    around = len(layout.ids) - report.context_tokens - len(layout.prefix)
    assert report.cold_tokens > 0
    assert report.computed_tokens == report.cold_tokens + report.repaired_tokens + 2 * around


def test_a_model_that_shows_no_attention_is_repaired_at_the_heads_of_its_chunks(backend, pieces, filled, monkeypatch):
    def refuse(*_: object) -> None:
        raise UnsupportedError("It does not pass positions on.")

    monkeypatch.setattr("ragkit.cachecraft.reuse.token_scores", refuse)
    layout = pieces.layout(prompt((2, 1, 0), "Who dredged Oke?"))
    config = changed(SETTINGS, policy="query_probe", share=0.2)
    report = ChunkReuse(backend, filled, config).reply(layout, 2).report
    assert report.repaired_tokens == pytest.approx(0.2 * report.context_tokens, abs=1)
    assert "epic took its place" in report.failures[0]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_nothing_or_everything_is_repaired_nothing_is_scored(backend, pieces, filled, share):
    layout = pieces.layout(prompt((2, 1, 0), "Who dredged Oke?"))
    report = ChunkReuse(backend, filled, changed(SETTINGS, policy="query_probe", share=share)).reply(layout, 2).report
    assert "score" not in report.seconds
    assert report.repaired_tokens == share * report.context_tokens


def test_a_check_that_fails_keeps_no_answer_back(backend, pieces, ends, filled, monkeypatch):
    layout = pieces.layout(prompt((2, 0), "Who dredged Oke?"))
    monkeypatch.setattr("ragkit.cachecraft.reuse.divergence", fail)
    done = ChunkReuse(backend, filled, changed(SETTINGS, sample_share=1.0)).reply(layout, 4, ends=ends)
    assert done.tokens
    assert any("check" in one for one in done.report.failures)


def test_at_a_share_of_one_nothing_is_scored(backend, pieces, ends, filled):
    layout = pieces.layout(prompt((2, 1, 0), "Who dredged Oke?"))
    done = ChunkReuse(backend, filled, changed(SETTINGS, policy="query_probe", share=1.0)).reply(layout, 8, ends=ends)
    assert "score" not in done.report.seconds
    assert done.report.computed_tokens == len(layout.ids) - len(layout.prefix)
    assert done.tokens == plain(backend, layout, ends)


def test_statistics_are_captured_where_something_reads_them_only(backend, pieces, memory):
    layout = pieces.layout(prompt((0, 1), "Who dredged Oke?"))
    ChunkReuse(backend, memory, changed(SETTINGS, policy="query_probe")).reply(layout, 2)
    assert [one.statistics for one in memory.index if one.history] == [None]


@pytest.mark.parametrize("policy", ["query_probe", "epic"])
def test_with_an_alpha_every_policy_repairs_as_much_as_the_equation_says(backend, pieces, memory, policy):
    settings = changed(SETTINGS, policy=policy, alpha=0.7)
    ChunkReuse(backend, memory, settings).reply(pieces.layout(prompt((0, 1, 2), "Who dredged Oke?")), 1)
    behind = {one.chunk: one for one in memory.index if one.history}
    layout = pieces.layout(prompt((3, 2, 1), "What does a lock do?"))
    done = ChunkReuse(backend, memory, settings).compute(layout)
    moved = [one for one in done.plan.reused if one.variant.chunk in behind]
    assert len(moved) == 2
    expected = 0
    for one in moved:
        assert one.variant.statistics is not None, "captured, as the CCI depends on it"
        cci, old = one.variant.statistics.cci, one.variant.statistics.inter
        assert 0.5 < cci < 0.9
        before = one.variant.history
        there = [mass for key, mass in zip(before, old, strict=True) if key in _shown_before(done, one.piece)]
        expected += math.ceil(0.7 * cci * (1 - sum(there) / sum(old)) * one.variant.tokens - 1e-9)
    assert sum(len(one.repaired) for one in done.plan.reused) == expected


def _shown_before(done, piece: int) -> set[str]:
    return {key for at, key in done.keys.items() if at < piece}


def test_a_cold_chunk_among_reused_ones_is_kept_as_less_exact(backend, pieces, filled):
    reuse = ChunkReuse(backend, filled, changed(SETTINGS, share=0.15))
    report = reuse.reply(pieces.layout(prompt((2, 3, 0), "When was the flood?")), 2).report
    assert report.cold_tokens > 0
    assert report.kept == 1
    again = reuse.reply(pieces.layout(prompt((3, 1), "When was the flood?")), 2).report
    assert again.generations == (1, 0)
    assert again.cold_tokens == 0


@pytest.mark.parametrize("policy", ["epic", "random", "none", "hkvd", "query_probe"])
def test_every_policy_answers_over_the_same_store(backend, pieces, filled, policy):
    layout = pieces.layout(prompt((2, 1), "What do barges carry?"))
    report = ChunkReuse(backend, filled, changed(SETTINGS, policy=policy, share=0.2)).reply(layout, 2).report
    wanted = 0.0 if policy == "none" else 0.2 * report.context_tokens
    assert report.repaired_tokens == pytest.approx(wanted, abs=2)
    assert not report.failures
    fresh = len(layout.ids) - report.context_tokens - len(layout.prefix) + report.repaired_tokens
    asks = policy in {"hkvd", "query_probe"}
    assert (report.computed_tokens > fresh) == asks, "what the scores cost is counted"
    assert ("score" in report.seconds) == asks


def test_the_same_chunk_twice_in_a_prompt(backend, pieces, ends, memory):
    layout = pieces.layout(prompt((0, 0, 1), "Who dredged Oke?"))
    reuse = ChunkReuse(backend, memory, changed(SETTINGS, share=1.0))
    assert reuse.reply(layout, 8, ends=ends).report.kept == 3, "once, the other chunk, and the prefix"
    assert reuse.reply(layout, 8, ends=ends).tokens == plain(backend, layout, ends)


class Broken:
    """A store of which one ability fails."""

    def __init__(self, store: ChunkStore, **failing) -> None:
        self._store = store
        self.__dict__.update(failing)

    def __getattr__(self, name: str):
        return getattr(self._store, name)


def fail(*_: object, **__: object):
    raise OSError("the disk is gone")


def lying(store: ChunkStore):
    """Return a `load` that gives blobs of another size."""
    return lambda names: {name: blob[: len(blob) // 2] for name, blob in store.load(names).items()}


@pytest.mark.parametrize("ability", ["candidates", "load", "wanted", "save", "used", "nothing there", "half blobs"])
def test_a_broken_store_is_a_miss_and_the_answer_the_right_one(backend, pieces, ends, filled, ability):
    layout = pieces.layout(prompt((1, 3, 0), "What do barges carry?"))
    wrong = {"nothing there": {"load": lambda _: {}}, "half blobs": {"load": lying(filled)}}
    store = Broken(filled, **wrong.get(ability, {ability: fail}))
    done = ChunkReuse(backend, store, changed(SETTINGS, share=1.0)).reply(layout, 8, ends=ends)  # type: ignore[arg-type]
    assert done.tokens == plain(backend, layout, ends)
    if ability in {"candidates", "load", "nothing there", "half blobs"}:
        assert done.report.cold_tokens == done.report.context_tokens
        assert sum(done.report.misses.values()) == 4
    assert bool(done.report.failures) == (ability != "nothing there")
    assert len(set(done.report.failures)) == len(done.report.failures), "each once, however often it was tried"


def test_what_was_stored_and_could_not_be_loaded_is_named(backend, pieces, tmp_path):
    layout = pieces.layout(prompt((0, 1), "Who dredged Oke?"))
    with ChunkStore(backend.space.key, tmp_path, memory_bytes=0, admission="always") as store:
        reuse = ChunkReuse(backend, store, SETTINGS)
        reuse.reply(layout, 1)
        assert store.flush(10)
        largest = max(tmp_path.rglob("*.kv"), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[:-1])
        report = reuse.reply(layout, 1).report
        whole = [path.stat().st_size - PAGE for path in tmp_path.rglob("*.kv") if path != largest]
    assert dict(report.misses) == {NOT_LOADED: 1}
    assert report.loaded_bytes == sum(whole), "what came before the second attempt came once"
    assert report.kept == 1


def test_a_store_of_another_model_holds_nothing_for_this_one(backend, pieces, filled):
    other = SimpleNamespace(key="0" * 32)
    turned = Broken(backend, space=other)  # type: ignore[arg-type]
    report = ChunkReuse(turned, filled, SETTINGS).reply(pieces.layout(prompt((0, 1), "Who?")), 1).report  # type: ignore[arg-type]
    assert report.cold_tokens == report.context_tokens


def test_chunks_are_not_used_across_trust_domains(backend, pieces, filled):
    layout = pieces.layout(prompt((0, 1), "Who?"))
    report = ChunkReuse(backend, filled, changed(SETTINGS, domain="tenant")).reply(layout, 1).report
    assert report.cold_tokens == report.context_tokens


def test_a_chunk_too_rare_is_not_kept_where_reuse_is_to_be_expected(backend, pieces):
    with ChunkStore(backend.space.key, None, admission="reuse") as store:
        reuse = ChunkReuse(backend, store, SETTINGS)
        kept = [reuse.reply(pieces.layout(prompt((0,), "Who?")), 1).report.kept for _ in range(3)]
    assert kept == [1, 1, 0], "the prefix; the chunk when it is seen again; nothing new"


def test_a_sampled_request_is_held_against_full_recompute(backend, pieces, filled):
    layout = pieces.layout(prompt((2, 0), "Who?"))
    checked = ChunkReuse(backend, filled, changed(SETTINGS, sample_share=1.0, share=1.0)).reply(layout, 1).report
    assert checked.divergence == pytest.approx(0.0, abs=1e-6)
    assert checked.parted is False
    nothing = ChunkReuse(backend, filled, changed(SETTINGS, share=0.0, sample_share=1.0)).reply(layout, 1).report
    assert nothing.divergence > 1e-6
    assert ChunkReuse(backend, filled, SETTINGS).reply(layout, 1).report.divergence is None


def test_a_report_names_each_failure_once_in_order(backend, pieces, filled, monkeypatch):
    reuse = ChunkReuse(backend, filled, SETTINGS)
    compute = reuse.compute

    def failing(*args, **options):
        done = compute(*args, **options)
        done.failures += ["load: b has another size", "load: a has another size"] * 2
        return done

    monkeypatch.setattr(reuse, "compute", failing)
    report = reuse.reply(pieces.layout(prompt((2, 0), "Who?")), 1).report
    assert report.failures == ("load: b has another size", "load: a has another size")


def test_a_report_is_plain_json(backend, pieces, filled):
    import json

    report = ChunkReuse(backend, filled, SETTINGS).reply(pieces.layout(prompt((2, 0), "Who?")), 1).report
    told = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert told["computed_tokens"] == report.computed_tokens
    assert set(told) == set(report.__dataclass_fields__)


def test_statistics_are_captured_for_what_stands_behind_other_chunks(backend, pieces, filled):
    found = {one.start: one for one in filled.index if one.prefix}
    first, *others = [found[start] for start in sorted(found)]
    assert first.history == ()
    assert first.statistics.a_bar == 0.0
    assert not first.statistics.token_mass.any()
    for one in others:
        assert one.statistics.a_bar > 0
        assert np.isfinite(one.statistics.token_mass).all()
        assert len(one.statistics.token_mass) == one.tokens


def test_a_reply_stops_where_it_is_told_to(backend, pieces, filled):
    layout = pieces.layout(prompt((2, 0), "Who?"))
    calls = iter([False, True])
    assert len(ChunkReuse(backend, filled, SETTINGS).reply(layout, 8, until=lambda: next(calls)).tokens) == 2


def test_full_recompute_asks_no_store(backend, pieces):
    store = Broken(SimpleNamespace(), candidates=fail)  # type: ignore[arg-type]
    done = ChunkReuse(backend, store, KvReuseConfig(policy="full")).compute(pieces.layout(prompt((0,), "Who?")))  # type: ignore[arg-type]
    assert isinstance(done.plan, Plan)
    assert not done.failures


def test_another_label_of_the_same_length_is_not_taken_for_the_same_context(backend, pieces, memory):
    def asked(label: str) -> list[Segment]:
        return [Segment(label), Segment(TEXTS[0], "c0"), Segment("\n\nWho dredged Oke?")]

    reuse = ChunkReuse(backend, memory, changed(SETTINGS, policy="query_probe", share=0.5))
    reuse.reply(pieces.layout(asked("Red: ")), 1)
    assert reuse.reply(pieces.layout(asked("Red: ")), 1).report.repaired_tokens == 0
    other = reuse.reply(pieces.layout(asked("Old: ")), 1).report
    assert other.repaired_tokens == pytest.approx(0.5 * other.context_tokens, abs=1)
