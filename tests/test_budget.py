"""Budgets: limits, stages, prices."""

import json
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.budget import Budget, Price
from ragkit.errors import BudgetExceededError, ConfigError


def test_stages_are_booked_apart():
    meter = Budget().meter()
    meter.spend("score", prompt_tokens=100, calls=1, dollars=0.5, seconds=0.25)
    meter.spend("generate", prompt_tokens=10, reply_tokens=5, calls=1, seconds=1.0)
    meter.spend("generate", tokens=7)
    meter.record("generate", cached=3)
    report = json.loads(json.dumps(meter.report()))
    assert (report["tokens"], report["dollars"]) == (122, 0.5)
    empty = {"cached": 0, "reply_tokens": 0, "unpriced": 0}
    assert report["stages"]["score"] == empty | {
        "calls": 1, "prompt_tokens": 100, "tokens": 100, "seconds": 0.25, "dollars": 0.5
    }  # fmt: skip
    assert report["stages"]["generate"] == {
        "calls": 1, "cached": 3, "prompt_tokens": 10, "reply_tokens": 5, "tokens": 22, "seconds": 1.0, "dollars": 0.0,
        "unpriced": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "spent"),
    [
        (Budget(tokens=10), {"prompt_tokens": 6, "reply_tokens": 5}),
        (Budget(tokens=10), {"tokens": 11}),
        (Budget(dollars=1.0), {"dollars": 1.5}),
        (Budget(seconds=-1.0), {}),
    ],
)
def test_a_limit_is_never_passed_and_nothing_recorded(budget, spent):
    meter = budget.meter()
    with pytest.raises(BudgetExceededError, match="judge would bring"):
        meter.spend("judge", calls=1, **spent)
    assert meter.report()["stages"] == {}
    meter.record("judge", calls=1, **spent)  # spent already: recorded whatever the limit
    assert meter.report()["stages"]["judge"]["calls"] == 1


def test_a_view_books_under_its_name_and_shares_the_limits():
    meter = Budget(tokens=10).meter()
    view = meter.stage("summary")
    view.spend("generate", tokens=8)
    assert meter.tokens == view.tokens == 8
    with pytest.raises(BudgetExceededError, match="summary would bring the tokens spent to 11"):
        view.spend("generate", tokens=3)
    with pytest.raises(BudgetExceededError, match="score would bring"):
        meter.spend("score", tokens=3)


def test_threads():
    meter = Budget(tokens=3000).meter()
    refused = []

    def spend():
        for _ in range(1000):
            try:
                meter.spend("generate", prompt_tokens=1, calls=1)
            except BudgetExceededError:
                refused.append(1)

    threads = [Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.tokens == meter.report()["stages"]["generate"]["calls"] == 3000
    assert len(refused) == 1000


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50))), st.integers(0, 300))
def test_what_is_spent_never_passes_the_limit(amounts, limit):
    meter = Budget(tokens=limit).meter()
    total = 0
    for prompt, reply in amounts:
        if total + prompt + reply <= limit:
            meter.spend("generate", prompt_tokens=prompt, reply_tokens=reply)
            total += prompt + reply
        else:
            with pytest.raises(BudgetExceededError):
                meter.spend("generate", prompt_tokens=prompt, reply_tokens=reply)
        assert meter.tokens == total <= limit


def test_prices_are_per_million_tokens():
    assert Price(0.15, 0.6).dollars(2_000_000, 500_000) == pytest.approx(0.6)
    with pytest.raises(ConfigError, match="expected 0 or more"):
        Price(-1.0, 0.0)
    with pytest.raises(ConfigError):
        Price(float("nan"), 0.0)
