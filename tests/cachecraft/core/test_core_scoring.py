"""All CFOs at once are those of one variant by one, to the last bit; what the tables and short cuts rest on."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ragkit.cachecraft.core import choice, scoring, shelf
from ragkit.cachecraft.core.choice import choose, chunk_keys, prefix_key
from ragkit.cachecraft.core.index import VariantIndex
from ragkit.cachecraft.core.offset import variant_cfo
from ragkit.cachecraft.core.overlap import overlap
from ragkit.cachecraft.core.popularity import Popularity
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.runs import best_tokens
from ragkit.cachecraft.core.scoring import cfo_of_all
from ragkit.cachecraft.core.sharing import share_out
from ragkit.cachecraft.core.shelf import NOTHING, Shelf, shelved
from ragkit.cachecraft.core.worth import WorthOrder
from tests.cachecraft.core.making import prompt, variant

NAMES = [f"chunk {number}" for number in range(12)]


def made(source: np.random.Generator, number: int):
    """A variant behind up to 14 chunks, some of them twice; masses are whole numbers, which tie, or any; or missing."""
    history = source.choice(NAMES, source.integers(0, 15)).tolist()
    masses = source.random(len(history) + 2) if source.random() < 0.5 else source.integers(0, 3, len(history) + 2)
    short = len(history) + int(source.integers(-1, 2))  # a chunk without a mass, all with one, or a sink
    inter = masses[: max(short, 0)].tolist() if source.random() < 0.8 else None
    more = {"a_bar": float(source.integers(0, 3)) / 100, "prefix": str(source.choice(["p", "p", "p", "other"]))}
    return variant("c", 4, history, inter, name=f"{number}", **more)


@given(
    st.integers(0, 100_000),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=12),
    st.builds(
        Repair,
        alpha=st.none() | st.sampled_from([0.3, 1.0, 1.7]),
        beta_mode=st.sampled_from(["paper", "symmetric", "count"]),
    ),
    st.sampled_from([1, 2, 8, 1_024]),
    st.sampled_from([0, 1 << 22]),
)
def test_all_at_once_is_one_by_one_to_the_last_bit(seed, keys, repair, slots, pairs):
    source = np.random.default_rng(seed)
    shelves = [Shelf.of(made(source, number) for number in range(source.integers(0, 6))) for _ in keys]
    lengths = source.integers(1, 9, len(keys)).tolist()
    with pytest.MonkeyPatch.context() as patch:  # keys that share slots of the table; pairs counted without a table
        patch.setattr(scoring, "_SLOTS", slots)
        patch.setattr(scoring, "_PAIRS", pairs)
        found = cfo_of_all(shelves, keys, lengths, "p", repair)
    alpha = 1.0 if repair.alpha is None else repair.alpha
    assert found.tolist() == [
        variant_cfo(one, overlap(one, keys[:at], lengths[:at], repair.beta_mode), alpha)
        if one.prefix == "p"
        else float("inf")
        for at, own in enumerate(shelves)
        for one in own
    ]


def test_keys_of_one_code_never_serve_behind_another_prefix_or_for_other_ids(monkeypatch):
    for module in (shelf, scoring):
        monkeypatch.setattr(module, "code", lambda key: 7)
    layout = prompt((4, 0), prefix=3)
    keys = chunk_keys(layout, "s")
    prefix, own = prefix_key(layout, keys), layout.pieces[1].ids
    right = variant(keys[1], own, ["X"], [1.0], prefix=prefix, name="z")
    wrong = [variant(keys[1], own, prefix="other", name="a"), variant(keys[1], own[::-1], prefix=prefix, name="b")]
    for stored, serves in ((wrong, None), ([*wrong, right], right)):
        chosen, _ = choose(layout, keys, lambda key, stored=stored: stored * (key == keys[1]), prefix, Repair())
        assert (chosen[1].variant if chosen else None) is serves


@given(st.integers(0, 10_000))
def test_an_index_keeps_the_tables_of_what_it_has(seed):
    source = np.random.default_rng(seed)
    index = VariantIndex(600, per_chunk=2, admission="always")
    for number in range(15):
        index.add(made(source, number))
        if source.random() < 0.3:
            index.remove(str(source.integers(0, number + 1)))
        kept, fresh = index.candidates("c"), Shelf.of(index.candidates("c"))
        assert sorted(one.name for one in kept) == sorted(one.name for one in index)
        assert (kept.variants, kept.histories) == (fresh.variants, fresh.histories)
        assert shelved(kept) is kept
    assert index.candidates("nothing") is NOTHING is shelved([])


def test_the_choice_takes_any_sequence(monkeypatch):
    layout = prompt((4, 0))
    keys = chunk_keys(layout, "s")
    one = variant(keys[0], layout.pieces[0].ids)
    for stored in ([one], (one,), Shelf.of([one])):
        assert choose(layout, keys, lambda _, stored=stored: stored, "", Repair())[0][0].variant is one
    monkeypatch.setattr(choice, "cfo_of_all", None)  # not called where there is no chunk
    assert choose(prompt(prefix=3), {}, lambda _: [one], "", Repair()) == ({}, {})


WEIGHTS = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(1e-6, 1e3)


@given(st.lists(st.tuples(WEIGHTS, st.integers(0, 600)), max_size=25), st.floats(0, 1.1))
@example([(1.0, 3), (1.0, 20), (0.0, 20)], 0.25)
def test_a_budget_is_shared_out_at_one_level(pairs, part):
    weights, caps = np.array([weight for weight, _ in pairs]), np.array([cap for _, cap in pairs], np.int64)
    allowed = int(caps[weights > 0].sum())
    total = round(part * int(caps.sum()))
    shares = share_out(total, weights, caps)
    assert shares.dtype == np.int64
    assert shares.sum() == min(total, allowed)
    assert ((shares >= 0) & (shares <= np.where(weights > 0, caps, 0))).all()
    low, high = 0.0, 1e9
    for _ in range(200 if total < allowed else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(caps, middle * weights).sum() < total else (low, middle)
    if total < allowed:
        assert (np.abs(shares - np.minimum(caps, high * weights)) < 1 + 1e-6).all()


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(-1, 45))
def test_the_best_tokens_are_the_first_among_equals(scores, count):
    best = sorted(sorted(range(len(scores)), key=lambda at: (-scores[at], at))[: max(count, 0)])
    assert best_tokens(np.array(scores, np.float64), count).tolist() == best


CHANGES = st.tuples(
    st.sampled_from("abcde"), st.integers(0, 3), st.sampled_from(["set", "set", "drop", "ask", "least"])
)


@given(st.lists(CHANGES, max_size=200))
def test_the_order_of_worth_is_right_whenever_it_is_asked_for(changes):
    order, plain = WorthOrder(), {}
    for serial, (name, worth, what) in enumerate(changes):
        if what == "drop" and name in plain:
            order.drop(name)
            del plain[name]
        elif what == "ask":
            assert list(order.ascending()) == sorted(plain, key=plain.get)
        elif what == "least":
            assert order.least() == min((one for one, _ in plain.values()), default=None)
        else:
            order.set(name, float(worth))
            plain[name] = (worth, serial)
        assert order.get(name) == (plain[name][0] if name in plain else None)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 3)), max_size=60))
def test_a_prompt_counts_a_chunk_once_however_often_it_shows_it(shown):
    counted, plain, now = Popularity(0.1, 99), {}, 0
    for key, later, before in shown:
        now += later
        if before and later:
            counted.remember(key, 2.0, now - before)
            plain[key] = (2.0 * np.exp(-0.1 * before), now - before, now)
        counted.see(key, now)
        total, last, at = plain.get(key, (0.0, -1, now))
        total *= np.exp(-0.1 * (now - at))
        plain[key] = (total + (last != now), now, now)
        assert counted.count(key, now) == pytest.approx(plain[key][0])
    assert counted.count("never", now) == 0
