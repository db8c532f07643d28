"""The index: never above its budget, pins survive, what saves most stays, what is seen once does not come in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from ragkit.cachecraft.core.decay import NOTHING, log_sum, log_weight, value_at
from ragkit.cachecraft.core.index import VariantIndex
from ragkit.cachecraft.core.worth import WorthOrder
from ragkit.errors import UsageError
from tests.cachecraft.core.making import ids, variant


def named(name: str, chunk: str = "", size: int = 100, **more):
    return variant(chunk or name, ids(10), more.pop("history", [name]), name=name, size=size, **more)


def popular(index: VariantIndex, key: str, times: int = 3) -> None:
    for _ in range(times):
        index.tick()
        index.wanted(key)


class Machine(RuleBasedStateMachine):
    pinned = Bundle("pinned")

    @initialize(capacity=st.integers(0, 1_000), per_chunk=st.integers(1, 3), decay=st.sampled_from([0.5, 0.99, 1.0]))
    def start(self, capacity, per_chunk, decay):
        self.index = VariantIndex(capacity, per_chunk, decay, ghosts=5)
        self.held: list[tuple] = []
        self.present: dict[str, object] = {}
        self.number = 0

    @rule(
        chunk=st.sampled_from("ABCDEFGH"), size=st.integers(0, 400), generation=st.integers(0, 2),
        always=st.booleans(), history=st.sampled_from(["", "X", "Y"]), again=st.booleans(),
    )  # fmt: skip
    def add(self, chunk, size, generation, always, history, again):
        self.number += not again
        one = named(str(self.number), chunk, size, generation=generation, history=list(history))
        before = set(self.present)
        admission = self.index.add(one, always=always)
        assert admission.admitted == (not admission.reason)
        assert admission.admitted or not admission.evicted
        for gone in admission.evicted:
            del self.present[gone.name]
        if admission.admitted:
            assert one.name not in before
            assert generation <= 1
            self.present[one.name] = one

    @rule(chunk=st.sampled_from("ABCDEFGH"), tick=st.booleans())
    def ask(self, chunk, tick):
        self.index.now += tick
        assert self.index.wanted(chunk) == self.index.wanted(chunk)

    @rule(place=st.integers(0, 99), share=st.floats(0, 1))
    def use(self, place, share):
        if self.present:
            self.index.used(list(self.present.values())[place % len(self.present)], share)

    @rule(place=st.integers(0, 99))
    def remove(self, place):
        pinned = {name for _, names in self.held for name in names}
        free = [name for name in self.present if name not in pinned]
        if free:
            name = free[place % len(free)]
            assert self.index.remove(name) is self.present.pop(name)
            assert self.index.remove(name) is None

    @rule(target=pinned, places=st.lists(st.integers(0, 99), max_size=3))
    def pin(self, places):
        names = [list(self.present)[place % len(self.present)] for place in places if self.present]
        context = self.index.pin([*names, "not there"])
        assert context.__enter__() == set(names)
        self.held.append((context, set(names)))
        return len(self.held) - 1

    @rule(number=consumes(pinned))
    def unpin(self, number):
        context, _ = self.held[number]
        context.__exit__(None, None, None)
        self.held[number] = (context, set())

    @invariant()
    def holds(self):
        if not hasattr(self, "index"):
            return
        assert self.index.used_bytes == sum(one.size for one in self.present.values()) <= self.index.capacity_bytes
        assert {one.name for one in self.index} == set(self.present)
        assert len(self.index) == len(self.present)
        for _, names in self.held:
            assert names <= set(self.present)
        for chunk in "ABCDEFGH":
            assert {one.name for one in self.index.candidates(chunk)} == {
                name for name, one in self.present.items() if one.chunk == chunk
            }


TestMachine = Machine.TestCase


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), min_size=1, max_size=30), st.sampled_from([0.5, 0.99, 1])
)
def test_decayed_sums_are_the_sums_of_the_definition(uses, decay):
    rate, total, now = -np.log(decay), NOTHING, 0
    plain = 0.0
    for wait, amount in uses:
        now += wait
        plain = plain * decay**wait + amount
        total = log_sum(total, log_weight(amount, rate, now))
    assert value_at(total, rate, now) == pytest.approx(plain)


def test_decay_does_not_overflow_in_long_lives():
    rate = -np.log(0.5)
    total = log_sum(log_weight(1, rate, 0), log_weight(1, rate, 10**7))
    assert value_at(total, rate, 10**7) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 3), st.booleans()), max_size=200))
def test_the_order_of_worth(changes):
    order, plain = WorthOrder(), {}
    for serial, (name, worth, drop) in enumerate(changes):
        if drop and name in plain:
            order.drop(name)
            del plain[name]
        else:
            order.set(name, float(worth))
            plain[name] = (worth, serial)
        assert list(order.ascending()) == sorted(plain, key=plain.get)
        assert order.least() == (min(plain.values())[0] if plain else None)
        assert len(order) == len(plain)


def test_worth_is_the_decayed_saving_per_byte():
    index = VariantIndex(1_000, decay=0.5)
    one = named("a", size=200)
    index.add(one)
    assert index.worth("a") == 0
    index.used(one, 0.25)
    assert index.worth("a") == pytest.approx(0.75 * 10 / 200)
    index.tick()
    index.used(one, 0.5)
    assert index.worth("a") == pytest.approx((0.75 / 2 + 0.5) * 10 / 200)
    assert index.saved_tokens == pytest.approx(7.5 + 5)
    index.used(named("gone"), 0.0)
    assert "gone" not in index


def test_the_least_worth_goes_first_and_a_pin_saves_it():
    index = VariantIndex(300, admission="always")
    for name in "abc":
        index.tick()
        index.add(named(name))
    for name, uses in (("a", 3), ("b", 1), ("c", 2)):
        for _ in range(uses):
            index.used(index.get(name), 0.2)
    with index.pin(["b"]), index.pin(["b"]):
        pass
    with index.pin(["b"]):
        assert [one.name for one in index.add(named("d")).evicted] == ["c"]
    assert [one.name for one in index.add(named("e")).evicted] == ["d"]
    assert [one.name for one in index.add(named("f")).evicted] == ["e"]
    with index.pin("abf"):
        refused = index.add(named("g"))
    assert (refused.admitted, refused.evicted, "pinned" in refused.reason, len(index)) == (False, (), True, 3)


def test_a_newcomer_must_be_worth_more_than_what_goes():
    index = VariantIndex(200)
    for name in "ab":
        popular(index, name)
        assert index.add(named(name)).admitted
        for _ in range(5):
            index.used(index.get(name), 0.1)
    popular(index, "c", 2)
    assert not index.wanted("c")
    assert "worth more" in index.add(named("c")).reason
    assert index.add(named("d"), always=True).admitted
    popular(index, "c", 9)
    assert index.wanted("c")
    assert [one.name for one in index.add(named("c")).evicted] == ["d"]


def test_what_is_seen_once_is_not_wanted():
    index = VariantIndex(1_000, decay=0.9)
    index.tick()
    assert [index.wanted("a"), index.wanted("a")] == [False, False]  # twice in one request counts once
    index.tick()
    assert index.wanted("a")
    index.now += 100
    assert not index.wanted("a")
    assert VariantIndex(1_000, admission="always").wanted("a")
    full = VariantIndex(0)
    popular(full, "a", 5)
    assert not full.wanted("a")


def test_with_room_what_is_new_is_wanted_until_something_had_to_go():
    index = VariantIndex(250, admission="room")
    for key in "ab":
        index.tick()
        assert index.wanted(key)
        assert index.add(named(key)).admitted
    index.tick()
    assert not index.wanted("c")
    for _ in range(8):
        index.tick()
    assert index.wanted("c")  # seen again, and worth more than what nobody has used
    assert not VariantIndex(0, admission="room").wanted("a")


def test_hits_count_as_sightings_too():
    index = VariantIndex(1_000)
    one = named("a")
    index.add(one)
    index.used(one, 0.0)
    index.tick()
    assert index.wanted("a")


def test_ghosts_are_bounded():
    index = VariantIndex(1_000, ghosts=2)
    index.tick()
    for key in "abc":
        index.wanted(key)
    index.tick()
    assert [index.wanted("c"), index.wanted("a")] == [True, False]


def test_a_crowded_chunk_gives_way_first():
    index = VariantIndex(400, per_chunk=2, admission="always")
    for number in range(3):  # room enough: the cap is soft
        index.add(named(f"a{number}", "a"))
        index.used(index.get(f"a{number}"), 0.0)
    index.add(named("b"))
    assert len(index.candidates("a")) == 3
    index.used(index.get("a0"), 0.0)
    assert [one.name for one in index.add(named("c")).evicted] == ["a2"]  # though b was never used
    assert [one.name for one in index.add(named("a3", "a")).evicted] == ["a1"]


def test_generations():
    index = VariantIndex(1_000)
    assert "generation is 2" in index.add(named("a", generation=2)).reason
    first = named("b", "k", history=["X"], generation=1)
    assert index.add(first).admitted
    assert "as good" in index.add(first).reason
    assert "as good" in index.add(named("c", "k", history=["X"], generation=1)).reason
    better = named("d", "k", history=["X"], generation=0)
    with index.pin(["b"]):
        assert "pinned" in index.add(better).reason
    assert index.add(better).evicted == (first,)
    assert index.candidates("k") == (better,)
    assert VariantIndex(1_000, max_generation=2).add(named("a", generation=2)).admitted


def test_a_variant_larger_than_the_store_drives_nothing_out():
    index = VariantIndex(300, admission="always")
    index.add(named("a"))
    refused = index.add(named("b", size=301))
    assert (refused.admitted, refused.evicted, len(index)) == (False, (), 1)
    assert "301 bytes" in refused.reason


def test_hot_chunks():
    index = VariantIndex(1_000)
    for key, times in (("a", 2), ("b", 5), ("c", 3)):
        popular(index, key, times)
    assert index.hot(2) == ["b", "c"]
    assert index.hot(9) == ["b", "c", "a"]
    index.add(named("b0", "b"))
    index.add(named("c1", "c", generation=1))
    assert index.hot(2, inexact=True) == ["c", "a"]
    assert index.popularity("b") > index.popularity("c") > index.popularity("x") == 0


@pytest.mark.parametrize(
    "wrong",
    [{"capacity_bytes": -1}, {"per_chunk": 0}, {"decay": 0.0}, {"decay": 1.1}, {"ghosts": 0}, {"admission": "no"}],
)
def test_an_impossible_index_is_refused(wrong):
    with pytest.raises(UsageError, match="was given; expected"):
        VariantIndex(**{"capacity_bytes": 100, **wrong})


@pytest.mark.parametrize("exponent", [0.7, 1.0])
def test_a_zipf_trace_comes_near_the_best_fixed_store(exponent):
    """300 chunks, room for 60, 5 a request: within 10 % of keeping the 60 most popular from the start."""
    source = np.random.default_rng(11)
    weights = 1 / np.arange(1, 301) ** exponent
    weights /= weights.sum()
    index, hits, best, writes, misses = VariantIndex(6_000), [], [], 0, 0
    for request in range(1_500):
        index.tick()
        shown = source.choice(300, 5, replace=False, p=weights)
        for chunk in shown:
            stored = index.candidates(str(chunk))
            if stored:
                index.used(stored[0], 0.15)
            else:
                misses += 1
                writes += index.wanted(str(chunk)) and index.add(named(f"{chunk}@{request}", str(chunk))).admitted
            if request >= 1_000:
                hits.append(bool(stored))
                best.append(chunk < 60)
    assert np.mean(hits) >= 0.9 * np.mean(best)
    assert writes < misses / 2  # not by every miss
