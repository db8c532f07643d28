"""Training of the configuration agent: what neighbours teach and do not teach, and what it does held out."""

import math

import numpy as np
import pytest

from ragkit.errors import ConfigError, UsageError
from ragkit.eval.types import Query
from ragkit.selectors.agent import Setting, Table
from ragkit.train.corag_agent import fit
from ragkit.train.held_out import AGENT, HINDSIGHT, ORACLE, SINGLE, held_out
from ragkit.train.setting_utilities import Worth, systems_for

SETTINGS = tuple(Setting("top_k", {"k": k}) for k in (1, 3, 8))


def world(count, seed, learnable):
    """Questions of three kinds, each with its own best setting; vectors show the kind only if that is `learnable`."""
    chance = np.random.default_rng(seed)
    kinds = chance.integers(0, 3, count)
    shown = kinds if learnable else chance.integers(0, 3, count)
    features = np.eye(8)[shown] + chance.normal(0, 0.1, (count, 8))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    utilities = np.clip(0.3 + 0.4 * np.eye(3)[kinds] + chance.normal(0, 0.1, (count, 3)), 0, 1)
    documents = tuple(f"d{number // 4}" for number in range(count))
    return features, utilities, documents


def worth(features, utilities, documents):
    queries = tuple(Query(f"h{number}", f"held {number}") for number in range(len(features)))
    return Worth(queries, features, documents, utilities, np.full(utilities.shape, 100.0), utilities)


def judged(learnable, count=240):
    features, utilities, documents = world(count, 1, learnable)
    table = Table(SETTINGS, tuple(f"q{number}" for number in range(count)), features, utilities)
    fitted = fit(table, documents)
    vote = fit(table, documents, rule="vote").agent
    return fitted, held_out(fitted.agent, vote, {"held": worth(*world(160, 2, learnable))})


def test_where_vectors_tell_the_kind_the_agent_wins():
    fitted, result = judged(learnable=True)
    means = {row.name: row.utility[0] for row in result.rows}
    assert fitted.estimate > fitted.single_estimate + 0.1
    assert math.isfinite(fitted.agent.prior)
    assert result.wins
    assert result.comparison.interval.low > 0.1
    assert result.verdict().startswith("The agent beats the best single setting, top_k(k=")
    assert means[SINGLE] <= means[HINDSIGHT] <= means[AGENT] <= means[ORACLE]
    assert 0.5 < result.gap_closed <= 1
    assert sum(result.used.values()) == result.questions == 160
    assert result.documents == 40


def test_where_they_tell_nothing_no_win_is_claimed():
    fitted, result = judged(learnable=False)
    assert not result.wins
    assert "NOT shown to beat" in result.verdict() or "WORSE" in result.verdict()
    assert fitted.estimate < fitted.single_estimate + 0.05


def test_a_worse_agent_is_called_worse():
    features, utilities, documents = world(240, 1, learnable=True)
    table = Table(SETTINGS, tuple(map(str, range(240))), features, utilities)
    fitted = fit(table, documents)
    held = world(160, 2, learnable=True)
    best = table.single()
    turned = np.where(np.arange(3) == best, 0.9, 0.1) * np.ones((160, 1))  # here one setting is best for all
    result = held_out(fitted.agent, fitted.agent, {"held": worth(held[0], turned, held[2])})
    assert result.comparison.winner == "b"
    assert "WORSE" in result.verdict()
    assert not result.wins


def test_neighbours_of_the_same_document_do_not_count():
    # each document asks one thing ten times over: within a document the answer is known, elsewhere it is not
    chance = np.random.default_rng(3)
    features = np.repeat(np.eye(30), 10, axis=0)
    best = np.repeat(chance.integers(0, 3, 30), 10)
    utilities = 0.2 + 0.6 * np.eye(3)[best]
    table = Table(SETTINGS, tuple(map(str, range(300))), features, utilities)
    documents = [f"d{number // 10}" for number in range(300)]
    honest, peeking = fit(table, documents), fit(table, [str(number) for number in range(300)])
    assert peeking.estimate > 0.75
    assert honest.estimate < 0.5


def test_the_share_of_known_questions_beyond_the_threshold():
    features, utilities, documents = world(240, 1, learnable=True)
    table = Table(SETTINGS, tuple(map(str, range(240))), features, utilities)
    made = fit(table, documents, outside=0.1).agent
    groups = np.array(documents)
    cosines = np.where(groups[:, None] == groups[None], -np.inf, features @ features.T).max(axis=1)
    assert (cosines < made.least_cosine).mean() == pytest.approx(0.1, abs=0.01)
    assert made.choose(-np.eye(8)[0]).fallback
    assert not fit(table, documents, outside=0).agent.choose(-np.eye(8)[0]).fallback


def test_one_document_is_learnt_from_question_by_question():
    features, utilities, _ = world(60, 1, learnable=True)
    table = Table(SETTINGS, tuple(map(str, range(60))), features, utilities)
    found = fit(table, ["d"] * 60)
    assert found.estimate > found.single_estimate


def test_what_cannot_be_learnt_from_is_refused():
    features, utilities, documents = world(19, 1, learnable=True)
    with pytest.raises(UsageError, match="19 questions"):
        fit(Table(SETTINGS, tuple(map(str, range(19))), features, utilities), documents)
    for settings, said in (
        ([{"name": "top_k", "k": 1}], "1 settings"),
        ([{"name": "top_k", "k": 1}, {"name": "top_k", "k": 1}], "1 of them different"),
        ([{"name": "top_k", "k": 1}, {"name": "configured", "agent": "x"}], "cannot be a setting"),
    ):
        with pytest.raises(ConfigError, match=said):
            systems_for(settings, {})
