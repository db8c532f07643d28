"""The sequential rule: how seldom it errs with data it may see after every request, and how soon it finds what is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.evidence import BETS, ERROR, Evidence
from ragkit.cachecraft.gate_file import Live

BOUND = 0.2


def requests_until_shown(divergences) -> int | None:
    evidence = Evidence(BOUND)
    for number, one in enumerate(divergences, 1):
        evidence = evidence.after(float(one))
        if evidence.shown:
            return number
    return None


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.exponential(BOUND, n),
        lambda rng, n: rng.gamma(0.1, BOUND / 0.1, n),
        lambda rng, n: (rng.random(n) < 0.02) * BOUND / 0.02,
        lambda rng, n: rng.lognormal(math.log(BOUND) - 2, 2, n),
        lambda rng, n: np.where(np.arange(n) % 2, 2 * BOUND, 0) + 0 * rng.random(n),
    ],
    ids=["exponential", "gamma", "rare and large", "log-normal", "alternating"],
)
def test_at_the_bound_it_seldom_ever_says_that_it_is_above(draw):
    rng = np.random.default_rng(0)
    wrong = sum(requests_until_shown(draw(rng, 400)) is not None for _ in range(400))
    assert wrong <= 400 * ERROR + 3 * math.sqrt(400 * ERROR), wrong


def test_what_is_above_is_found_within_few_requests():
    rng = np.random.default_rng(1)
    found = [requests_until_shown(rng.exponential(3 * BOUND, 200)) for _ in range(100)]
    assert all(found)
    assert np.median(found) < 20
    assert requests_until_shown([math.inf]) == 1


def test_what_gets_worse_late_is_found_too():
    rng = np.random.default_rng(2)
    late = np.concatenate([rng.exponential(0.1 * BOUND, 300), rng.exponential(4 * BOUND, 100)])
    shown = requests_until_shown(late)
    assert shown is not None
    assert 300 < shown < 350


@given(st.lists(st.floats(0, BOUND), max_size=60))
def test_what_never_exceeds_the_bound_never_adds_evidence(divergences):
    evidence = Evidence(BOUND)
    for one in divergences:
        evidence = evidence.after(one)
    assert evidence.value <= 1 + 1e-9


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 2.0]), max_size=12))
def test_the_recursion_is_the_mixture_over_bets_and_starts(divergences):
    evidence = Evidence(BOUND)
    for one in divergences:
        evidence = evidence.after(one)
    wanted = 1 / (len(divergences) + 1)
    for start in range(1, len(divergences) + 1):
        for bet in BETS:
            won = math.prod(1 + bet * (one / BOUND - 1) for one in divergences[start - 1 :])
            wanted += won / (start * (start + 1)) / len(BETS)
    assert evidence.value == pytest.approx(wanted)


def test_another_bound_begins_anew_and_a_verdict_holds_for_tighter_ones_only():
    live = Live()
    for _ in range(15):
        live = live.after(0.5, False, 0.2)
    assert live.off
    assert live.refused(0.2)
    assert live.refused(0.1)
    assert not live.refused(0.6)
    assert live.after(0.5, False, 0.1).evidence == live.evidence, "it is known already"
    looser = live.after(0.5, True, 0.6)
    assert not looser.off
    assert looser.evidence.samples == 1
    assert (looser.requests, looser.parted) == (16, 1)
    assert Live().after(9.0, True, None) == Live(1, 1, 9.0), "counted, and not held against anything"
