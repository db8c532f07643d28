"""beta, gamma and beta': bounds, invariances, and the pitfalls of section 7."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.offset import cfo, tokens_to_repair, variant_cfo
from ragkit.cachecraft.core.overlap import kendall, overlap
from ragkit.cachecraft.core.repair import Repair
from ragkit.errors import UsageError
from tests.cachecraft.core.making import variant

NAMES = st.lists(st.sampled_from("ABCDEFG"), max_size=9)
MODES = st.sampled_from(["paper", "symmetric", "count"])
UNIT = st.floats(0, 1)


def made(history, weights=None):
    return variant("c", 8, history, weights if weights is not None else [1.0 + at for at in range(len(history))])


@given(NAMES, NAMES, st.randoms(use_true_random=False), MODES)
def test_beta_knows_no_order(old, new, random, mode):
    mixed = list(new)
    random.shuffle(mixed)
    lengths = {name: 10 * ord(name) for name in "ABCDEFG"}
    first = overlap(made(old), new, [lengths[name] for name in new], mode)
    second = overlap(made(old), mixed, [lengths[name] for name in mixed], mode)
    assert first.beta == second.beta


@given(NAMES, NAMES, MODES)
def test_everything_lies_within_0_and_1(old, new, mode):
    found = overlap(made(old), new, [5] * len(new), mode)
    assert 0 <= found.beta <= 1
    assert 0 <= found.gamma <= 1
    assert found.value == pytest.approx(found.beta * (1 - found.gamma))


@given(NAMES, NAMES)
def test_gamma_is_symmetric_and_counts_pairs_out_of_order(old, new):
    one = overlap(made(old), new, [5] * len(new)).gamma
    other = overlap(made(new), old, [5] * len(old)).gamma
    assert one == pytest.approx(other)
    shared = [name for name in dict.fromkeys(old) if name in new]
    pairs = list(combinations(shared, 2))
    swapped = sum(new.index(first) > new.index(second) for first, second in pairs)
    assert one == pytest.approx(swapped / len(pairs) if pairs else 0.0)


@given(st.permutations(range(7)))
def test_kendall_of_the_reverse_is_the_rest(order):
    assert kendall(list(order)) + kendall(list(order)[::-1]) == pytest.approx(1.0)


@given(NAMES, MODES)
def test_the_same_context_needs_no_repair(old, mode):
    assert overlap(made(old), old, [5] * len(old), mode) == (1, 0, 1)


@pytest.mark.parametrize("mode", ["paper", "symmetric", "count"])
def test_without_a_history_only_the_beginning_of_a_prompt_fits(mode):
    alone = variant("c", 8, [], [])
    assert overlap(alone, [], [], mode) == (1, 0, 1)
    assert overlap(alone, ["A"], [5], mode) == (0, 0, 0)
    assert overlap(made(["A"]), [], [], mode).value == 0


def test_beta_is_one_sided_unless_it_is_symmetric():
    new, lengths = ["A", "Z", "B"], [30, 60, 10]
    assert overlap(made(["A", "B"]), new, lengths).value == 1
    assert overlap(made(["A", "B"]), new, lengths, "symmetric").value == pytest.approx(0.4)
    assert overlap(made(["A", "B"]), ["B", "A"], [1, 1], "count") == (1, 0, 1)


def test_a_chunk_twice():
    twice = made(["A", "B", "A"], [1, 2, 4])
    assert overlap(twice, ["A"], [5]).beta == pytest.approx(5 / 7)
    assert overlap(twice, ["A", "B"], [5, 5]) == (1, 0, 1)  # the first A counts, and it stands before B
    assert overlap(twice, ["B", "A", "B"], [5, 5, 5]) == (1, 1, 0)
    assert overlap(twice, ["A", "A"], [5, 15], "symmetric").beta == pytest.approx(5 / 7)


def test_without_mass_or_statistics_chunks_are_counted():
    for one in (made(["A", "B", "C", "D"], [0, 0, 0, 0]), variant("c", 8, ["A", "B", "C", "D"])):
        assert overlap(one, ["C"], [5]).beta == 0.25
    assert variant_cfo(variant("c", 8, ["A"]), overlap(variant("c", 8, ["A"]), [], []), 0.7) == 0.7


def test_a_counted_sink_is_always_there_again():
    with_sink = made(["A", "B"], [3, 5, 12])
    assert overlap(with_sink, ["A"], [5]).beta == pytest.approx(0.75)
    assert overlap(with_sink, ["Z"], [5]).beta == pytest.approx(0.6)


@given(UNIT, UNIT, UNIT, UNIT, st.floats(0, 5), st.floats(0, 5))
def test_cfo_rises_with_alpha_with_cci_and_with_what_is_lost(context, more, value, less, alpha, higher):
    low = cfo(min(context, more), max(value, less), min(alpha, higher))
    assert low <= cfo(max(context, more), min(value, less), max(alpha, higher))
    assert 0 <= low <= 1


@given(st.floats(-1, 2), st.integers(0, 5_000))
def test_repairs_are_never_more_than_the_chunk_has(ratio, tokens):
    repaired = tokens_to_repair(ratio, tokens)
    assert 0 <= repaired <= tokens
    assert repaired >= min(ratio, 1) * tokens - 1e-6


@pytest.mark.parametrize(("ratio", "tokens", "repaired"), [(0.1, 30, 3), (0.7, 10, 7), (0.29, 100, 29), (0.301, 10, 4)])
def test_floats_do_not_round_up(ratio, tokens, repaired):
    assert tokens_to_repair(ratio, tokens) == repaired


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": -0.1}, {"share": 1.1}, {"share": float("nan")}, {"alpha": -1.0}, {"alpha": float("inf")},
        {"alpha": float("nan")}, {"run_length": 0}, {"full_threshold": 0.0}, {"beta_mode": "kendall"}, {"seed": -1},
    ],
)  # fmt: skip
def test_a_budget_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError, match="was given; expected"):
        Repair(**wrong)
