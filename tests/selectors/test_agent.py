"""The configuration agent: neighbours, the two rules, questions unlike all known, its file."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError
from ragkit.selectors.agent import Agent, Setting, Table
from ragkit.selectors.agent_file import AgentFile, Aim, SettingRecord, Source, read_agent, stored

SHORT, LONG = Setting("top_k", {"k": 2}), Setting("top_k", {"k": 8})
TREE = Setting("tree_search", {"c": 2.0, "cost_weight": 0.2, "iterations": 10})


def angle(degrees):
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def table(settings=(SHORT, LONG), degrees=(0, 10, 80, 90), utilities=((1, 0), (1, 0), (0, 0.9), (0, 0.9))):
    questions = tuple(f"q{number}" for number in range(len(degrees)))
    return Table(tuple(settings), questions, np.array([angle(one) for one in degrees]), np.array(utilities, float))


def agent(made=None, **options):
    made = made or table()
    return Agent(made, **{"default": made.settings[made.single()], "neighbours": 2, "prior": 0.0, **options})


def test_like_questions_get_what_suited_their_neighbours():
    low, high = agent().choose(angle(5)), agent().choose(angle(85))
    assert (low.setting, high.setting) == (SHORT, LONG)
    assert not low.fallback
    assert [one.question for one in low.neighbours] == ["q0", "q1"]
    assert [one.question for one in high.neighbours] == ["q2", "q3"]
    assert low.neighbours[0].cosine == pytest.approx(math.cos(math.radians(5)))
    assert (low.neighbours[0].chosen, high.neighbours[0].chosen) == (1.0, 0.9)
    assert high.neighbours[0].default == 0.0


def test_the_prior_worked_by_hand():
    # neighbours q2, q3: LONG is worth 0.9; on average over all four SHORT is worth 0.5 and LONG 0.45.
    # prior 2: SHORT (0 + 0 + 2 * .5) / 4 = .25, LONG (.9 + .9 + 2 * .45) / 4 = .675
    assert "worth 0.675 over 2 neighbours" in agent(prior=2.0).choose(angle(85)).reason
    # LONG wins while 1.8 + .45 m > .5 m, that is for m < 36
    assert agent(prior=35.0).choose(angle(85)).setting == LONG
    assert agent(prior=37.0).choose(angle(85)).setting == SHORT
    assert agent(prior=math.inf).choose(angle(85)).setting == SHORT


def test_a_question_unlike_all_known_ones_gets_the_default_with_the_reason():
    made = agent(least_cosine=0.9, default=TREE)
    found = made.choose(angle(45))
    assert (found.setting, found.fallback) == (TREE, True)
    assert "nearest known question has a cosine of 0.82, below 0.90" in found.reason
    assert len(found.neighbours) == 2
    assert found.neighbours[0].chosen is None  # nobody has tried the default
    assert not made.choose(angle(5)).fallback


def test_settings_within_a_hundredth_of_the_best_are_ties_that_the_average_decides():
    made = table(utilities=((0.995, 1.0), (1, 0), (1, 0), (0, 0.5)))
    assert made.best().tolist() == [0, 0, 0, 1]  # q0's best is noise: SHORT is as good there and better elsewhere
    far = table(utilities=((0.985, 1.0), (1, 0), (1, 0), (0, 0.5)))
    assert far.best().tolist() == [1, 0, 0, 1]


def vote(settings, degrees=None):
    """Return the vote of neighbours of which each finds another setting best."""
    utilities = np.eye(len(settings))
    degrees = degrees or [3 * number for number in range(len(settings))]
    made = table(tuple(settings), tuple(degrees), utilities)
    return agent(made, rule="vote", neighbours=len(settings)).choose(angle(0)).setting


def test_the_vote_takes_the_majority_and_its_medians():
    trees = [Setting("tree_search", {"c": c, "iterations": i}) for c, i in ((2.0, 10), (2.4, 30), (4.0, 50))]
    assert vote([SHORT, LONG, *trees]) == trees[1]
    assert vote([SHORT, LONG, trees[0]]) == SHORT  # of 2 and 8 the lower median, so that nothing is made up
    assert vote([TREE, SHORT]) == TREE  # equal votes: the nearest


def test_one_option_on_a_large_scale_does_not_drown_the_others():
    # the published network's error: iterations of 10 to 50 beside c of 2 to 4 decided the loss
    def settings(factor):
        rows = ((2.0, 50), (3.0, 10), (3.0, 30), (4.0, 30), (3.0, 30.5))
        return [Setting("tree_search", {"c": c, "iterations": factor * i}) for c, i in rows]

    assert [vote(settings(factor)).options["c"] for factor in (1, 1000)] == [3.0, 3.0]


grids = st.lists(st.tuples(st.sampled_from([2.0, 2.1, 4.0]), st.sampled_from([0.0, 0.2, 1.0]), st.integers(5, 25)),
                 min_size=1, max_size=8, unique=True)  # fmt: skip


@given(grids)
def test_the_vote_never_leaves_the_grid(rows):
    # so that nothing has to be rounded or clamped: c in 2..4, cost_weight in 0..1, iterations even in 10..50
    settings = [Setting("tree_search", {"c": c, "cost_weight": w, "iterations": 2 * i}) for c, w, i in rows]
    assert vote(settings) in settings


tables = st.lists(st.lists(st.floats(-1, 1, width=16), min_size=3, max_size=3), min_size=1, max_size=6)
rules = st.sampled_from(["utility", "vote"])


@given(tables, st.floats(0, 360), st.sampled_from([0.0, 3.0, math.inf]), st.integers(1, 9), rules)
def test_whatever_is_chosen_was_tried(rows, degrees, prior, neighbours, rule):
    settings = (SHORT, LONG, TREE)
    made = table(settings, tuple(range(0, 30 * len(rows), 30)), rows)
    one = agent(made, prior=prior, neighbours=neighbours, rule=rule)
    found = one.choose(angle(degrees))
    assert found.setting in settings
    assert found == one.choose(angle(degrees))
    assert len(found.neighbours) == min(neighbours, len(rows))
    cosines = [item.cosine for item in found.neighbours]
    assert cosines == sorted(cosines, reverse=True)
    if math.isinf(prior) and rule == "utility":
        assert found.setting == settings[made.single()]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"utilities": ((1, 0),)}, "expected one row a question"),
        ({"utilities": ((1, math.nan), (1, 0), (0, 1), (0, 1))}, "not finite"),
        ({"degrees": (), "utilities": np.zeros((0, 2))}, "0 questions"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change, said):
    with pytest.raises(ConfigError, match=said):
        table(**change)


def test_a_vector_of_another_embedder_is_refused():
    with pytest.raises(ConfigError, match="the agent knows vectors of"):
        agent().choose([1.0, 0.0, 0.0])


def file_of(made, **changes):
    values = {
        "embedder": "e",
        "dimension": 2,
        "data": [Source(name="set", fingerprint="f", questions=4)],
        "aim": Aim(measure="Recall", cost=0.2, budget=1000, candidates=50, tokenizer="words"),
        "rule": made.rule,
        "neighbours": made.neighbours,
        "prior": None if math.isinf(made.prior) else made.prior,
        "least_cosine": made.least_cosine,
        "default": SettingRecord(name=made.default.name, options=dict(made.default.options)),
        "settings": [SettingRecord(name=one.name, options=dict(one.options)) for one in made.table.settings],
        "questions": list(made.table.questions),
        "features": stored(made.table.features)[0],
        "utilities": made.table.utilities.tolist(),
    }
    return AgentFile(**{**values, **changes})


@pytest.mark.parametrize("prior", [3.0, math.inf])
def test_what_is_written_is_what_is_read(tmp_path, prior):
    made = agent(prior=prior, least_cosine=0.25)
    file_of(made).write(tmp_path / "agent.json")
    again = read_agent(tmp_path / "agent.json").agent()
    assert again.table.settings == made.table.settings
    assert np.allclose(again.table.features, made.table.features, atol=1e-3)
    assert np.allclose(np.linalg.norm(again.table.features, axis=1), 1)
    for degrees in (5, 85, 300):
        assert again.choose(angle(degrees)).setting == made.choose(angle(degrees)).setting


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "ragkit corag-agent 9"}, "format"),
        ({"rule": "guess"}, "rule"),
        ({"more": 1}, "more"),
        ({"features": "not base64!"}, "cannot be read"),
        ({"features": "AAAA"}, "cannot be read"),
        ({"dimension": 3}, "cannot be read"),
        ({"questions": ["one"]}, "1 questions"),
        ({"utilities": [[1, 2], [1]]}, "expected one row a question"),
        ({"neighbours": 0}, "0 neighbours"),
        ({"default": {"name": "configured"}}, "itself"),
    ],
)
def test_files_that_are_no_agents_are_refused(tmp_path, change, said):
    path = tmp_path / "agent.json"
    path.write_text(json.dumps({**file_of(agent()).model_dump(), **change}))
    with pytest.raises(ConfigError, match=said):
        read_agent(path).agent()


def test_a_file_that_is_not_there_or_no_json_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"No such file.*ragkit train corag-agent"):
        read_agent(tmp_path / "none.json")
    (tmp_path / "agent.json").write_text("{")
    with pytest.raises(ConfigError, match="no trained agent"):
        read_agent(tmp_path / "agent.json")
