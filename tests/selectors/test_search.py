"""Searches over combinations: the worked examples of CORAG's specification, its properties, exhaustive oracles."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError
from ragkit.scoring.calibration import Plain
from ragkit.selectors.beam import search_beam
from ragkit.selectors.combining import Best, Problem
from ragkit.selectors.coverage import Coverage, coverage
from ragkit.selectors.greedy import search_greedy
from ragkit.selectors.judged import Judged
from ragkit.selectors.knapsack import additive_optimum
from ragkit.selectors.tree import Node, TreeRules, search_tree

TABLE = {"a": 0.30, "b": 0.25, "c": 0.10, "ab": 0.40, "ac": 0.35, "ba": 0.70, "bc": 0.30, "ca": 0.20, "cb": 0.15}
EXAMPLE = {"c": 1.4, "cost_weight": 0.1}


class Told:
    """The value of sequences by a function of their items."""

    name = "told"

    def __init__(self, value, ordered=True):
        self._value, self.ordered, self.scored, self.calls = value, ordered, 0, 0

    def start(self):
        return ()

    def pushed(self, state, item):
        return (*state, item)

    def extended(self, state, items):
        self.scored += len(items)
        self.calls += 1
        return np.array([self._value((*state, item)) for item in items.tolist()], float)


def never():
    return None


def example():
    return Problem(Told(lambda seq: TABLE["".join("abc"[item] for item in seq)]), np.array([100] * 3), 250, "abc")


def searched(problem, **rules):
    best = Best(problem)
    return search_tree(problem, TreeRules(**rules), best, never), best


def root(mode, iterations):
    found, _ = searched(example(), mode=mode, iterations=iterations, **EXAMPLE)
    return found


def test_worked_example_1_paper():
    first, second, third = (root("paper", iterations) for iterations in (1, 2, 3))
    assert first.root.totals.tolist() == [0.30, 0.25, 0.10]
    assert np.allclose(second.root.totals, [0.70, 0.25, 0.10])
    assert second.root.visits.tolist() == [2, 1, 1]
    utilities = second.root.totals / second.root.visits + 1.4 * np.sqrt(np.log(2) / second.root.visits) - 0.04
    assert np.allclose(utilities, [1.134, 1.376, 1.226], atol=1e-3)
    assert np.allclose(third.root.totals, [0.70, 0.95, 0.10])
    assert third.sequence == (1, 0)
    assert third.value == 0.70


def test_worked_example_2_reference_code():
    second, third = root("reference_code", 2), root("reference_code", 3)
    assert np.allclose(second.root.totals, [1.05, 0.25, 0.10])
    assert second.root.visits.tolist() == [3, 1, 1]
    utilities = second.root.totals / second.root.visits + 1.4 * np.sqrt(np.log(5) / second.root.visits) - 0.04
    assert np.allclose(utilities, [1.335, 1.986, 1.836], atol=1e-3)
    assert np.allclose(third.root.totals, [1.05, 1.25, 0.10])
    assert third.root.visits.tolist() == [3, 3, 1]
    assert third.sequence == (1, 0)


def test_worked_example_3_average_against_own_value():
    values = {(0,): 0.60, (1,): 0.50, (0, 1): 0.20, (1, 0): 0.1}
    problem = Problem(Told(values.__getitem__), np.array([1, 1]), 2, "pq")
    assert searched(problem, mode="paper", iterations=2, c=0.0, cost_weight=0.0)[0].sequence == (1,)
    assert searched(problem, mode="ragkit", iterations=2, c=0.0, cost_weight=0.0)[0].sequence == (0,)
    assert searched(problem, mode="paper", pick="own", iterations=2, c=0.0, cost_weight=0.0)[0].sequence == (0,)


def test_worked_example_4_the_scale_decides_what_exploration_does():
    raw = np.array([4.0, 3.0])
    gap = np.diff(Plain("sigmoid")(raw))[0]
    assert gap == pytest.approx(-0.029, abs=1e-3)
    values = {(0,): 4.0, (1,): 3.0, (0, 1): 3.4, (1, 0): 3.4, (0, 2): 3.4, (1, 2): 3.4, (2,): -9.0}
    for calibrated, followed in ((False, [2.0, 1.0]), (True, [2.0, 2.0])):

        def value(seq, calibrated=calibrated):
            found = values.get(seq, -9.0)
            return float(Plain("sigmoid")(np.array([found]))[0]) if calibrated else found

        problem = Problem(Told(value), np.array([1, 1, 1]), 2, "abc")
        found, _ = searched(problem, mode="paper", iterations=3 if calibrated else 2, **EXAMPLE)
        assert found.root.visits[:2].tolist() == followed


def test_defect_the_reference_code_spends_iterations_on_finished_branches():
    value = {(0,): 0.9, (1,): 0.1, (0, 1): 0.95, (1, 0): 0.99}
    code = Told(value.__getitem__)
    found, _ = searched(Problem(code, np.array([1, 1]), 2, "ab"), mode="reference_code", iterations=20, c=0.01)
    assert found.expansions == 2  # the root and one child; eighteen iterations did nothing
    ours = Told(value.__getitem__)
    found, _ = searched(Problem(ours, np.array([1, 1]), 2, "ab"), mode="paper", iterations=20, c=0.01)
    assert found.stopped == "all searched"
    assert found.sequence == (1, 0)


def test_defect_the_reference_code_makes_children_over_the_budget_and_we_do_not():
    told = Told(lambda seq: float(len(seq)))
    problem = Problem(told, np.array([3, 3, 3]), 5, "abc")
    found, _ = searched(problem, mode="reference_code", iterations=30)
    assert len(found.sequence) == 1  # longer ones were valued and must not be chosen
    assert told.scored > 3
    told = Told(lambda seq: float(len(seq)))
    searched(Problem(told, np.array([3, 3, 3]), 5, "abc"), mode="ragkit", iterations=30)
    assert told.scored == 3


tasks = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 9), min_size=n, max_size=n),
        st.integers(0, 30),
        st.integers(0, 2**31),
        st.integers(0, 2),
    )
)


def problem_of(task, ordered):
    """Return a problem whose values are drawn, each sequence or set its own."""
    costs, budget, seed, separator = task
    drawn = {}

    def value(sequence):
        key = sequence if ordered else tuple(sorted(sequence))
        if key not in drawn:
            drawn[key] = float(np.random.default_rng([seed, *key]).integers(0, 50)) / 50
        return drawn[key]

    ids = [f"c{item}" for item in range(len(costs))]
    return Problem(Told(value, ordered), np.array(costs), budget, ids, separator), value


def exhaustive(problem, value, ordered):
    """Return the best value of all sequences within the budget, by brute force."""
    arrange = permutations if ordered else combinations
    count = len(problem.costs)
    return max(
        (value(seq) for size in range(1, count + 1) for seq in arrange(range(count), size)
         if problem.cost(seq) <= problem.budget),
        default=float("-inf"),
    )  # fmt: skip


@given(tasks, st.booleans(), st.sampled_from(["ragkit", "paper"]))
def test_a_finished_search_equals_the_exhaustive_one(task, ordered, mode):
    problem, value = problem_of(task, ordered)
    found, best = searched(problem, mode=mode, iterations=5000, pick="own")
    assert found.value == best.value == exhaustive(problem, value, ordered)
    assert found.stopped in {"all searched", "nothing fits"}
    beam = Best(problem)
    search_beam(problem, None, beam, never)
    assert (beam.value, problem.cost(beam.sequence)) == (best.value, problem.cost(best.sequence))


@given(tasks, st.booleans(), st.sampled_from(["ragkit", "paper", "reference_code"]), st.integers(1, 12))
def test_properties_of_every_search(task, ordered, mode, iterations):
    problem, value = problem_of(task, ordered)
    found, best = searched(problem, mode=mode, iterations=iterations)
    assert problem.value.scored <= iterations * len(problem.costs)
    assert problem.value.calls <= iterations + 1
    assert [score for _, _, score in best.curve] == sorted({score for _, _, score in best.curve})
    again, _ = searched(problem_of(task, ordered)[0], mode=mode, iterations=iterations)
    assert found[:4] == again[:4]
    assert shape(found.root) == shape(again.root)
    if not found.sequence:
        assert not len(problem.feasible(()))
        return
    assert problem.cost(found.sequence) <= problem.budget
    assert len(set(found.sequence)) == len(found.sequence)
    assert found.value == value(found.sequence)
    if mode == "ragkit":
        assert found.value >= max(value((item,)) for item in problem.feasible(()).tolist())


def shape(node: Node):
    """Return all numbers of a tree."""
    inner = {place: shape(child) for place, child in node.nodes.items()}
    return node.sequence, node.items.tolist(), node.totals.tolist(), node.visits.tolist(), inner


@given(tasks)
def test_an_order_free_value_meets_each_set_once(task):
    problem, _ = problem_of(task, ordered=False)
    searched(problem, iterations=5000)
    count = len(problem.costs)
    sets = [seq for size in range(1, count + 1) for seq in combinations(range(count), size)]
    assert problem.value.scored == sum(problem.cost(seq) <= problem.budget for seq in sets)


@given(tasks, st.integers(1, 20))
def test_without_a_cost_weight_costs_decide_only_what_fits(task, iterations):
    costs, _, seed, _ = task
    trees = []
    for factor in (1, 2):  # twice the cost and twice the budget: the same sequences fit
        problem, _ = problem_of(([factor * cost for cost in costs], factor * 12, seed, 0), ordered=True)
        trees.append(shape(searched(problem, iterations=iterations, cost_weight=0.0)[0].root))
    assert trees[0] == trees[1]


@given(tasks, st.booleans())
def test_greedy_and_beam_stay_within_the_budget(task, ordered):
    problem, value = problem_of(task, ordered)
    for search in (search_greedy, lambda task, best, stop: search_beam(task, 2, best, stop)):
        best = Best(problem)
        search(problem, best, never)
        assert problem.cost(best.sequence) <= problem.budget or not best.sequence
        assert len(set(best.sequence)) == len(best.sequence)
        if best.sequence:
            assert best.value == value(best.sequence)
            assert best.value >= max(value((item,)) for item in problem.feasible(()).tolist())


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), min_size=2, max_size=9), st.integers(0, 40))
def test_additive_values_are_a_knapsack(items, budget):
    values, costs = [value / 40 for value, _ in items], np.array([cost for _, cost in items])
    told = Told(lambda seq: sum(values[item] for item in seq), ordered=False)
    problem = Problem(told, costs, budget, [f"c{item}" for item in range(len(items))])
    best = Best(problem)
    additive = additive_optimum(problem, best, never)
    if additive:
        wanted = exhaustive(problem, lambda seq: sum(values[item] for item in seq), ordered=False)
        assert best.value == pytest.approx(wanted)
    pairs = [pair for pair in combinations(problem.feasible(()).tolist(), 2) if problem.cost(pair) <= budget]
    strongest = sorted(problem.feasible(()).tolist(), key=lambda item: -values[item])[:5]
    assert additive == any(set(pair) <= set(strongest) for pair in pairs)


def test_values_that_do_not_add_up_are_told():
    for ordered in (True, False):
        problem, _ = problem_of(([1, 1, 1, 1], 4, 7, 0), ordered)
        assert not additive_optimum(problem, Best(problem), never)
    redundant = Coverage(np.eye(3), np.eye(3), 0.0)
    assert additive_optimum(Problem(redundant, np.array([1, 1, 1]), 3, "abc"), Best(example()), never)
    overlapping = Coverage(np.array([[1.0, 0], [1.0, 0], [0, 0.5]]), np.eye(3), 0.0)
    assert not additive_optimum(Problem(overlapping, np.array([1, 1, 1]), 3, "abc"), Best(example()), never)


def test_a_deadline_gives_the_best_so_far():
    problem, value = problem_of(([1] * 6, 6, 3, 0), ordered=True)
    best, asked = Best(problem), []

    def stop():
        asked.append(1)
        return "out of time" if len(asked) == 4 else None

    found = search_tree(problem, TreeRules(iterations=500), best, stop)
    assert found.stopped == "out of time"
    assert found.expansions == 4
    assert found.value == best.value >= max(value((item,)) for item in range(6))
    patient = search_tree(problem, TreeRules(iterations=5000, patience=3), Best(problem), never)
    assert "no better value in 3" in patient.stopped


class Longest:
    """A reranker that counts the letters a and what it was asked."""

    name, fingerprint, scale, window = "longest", "longest", "logit", None

    def __init__(self):
        self.asked = []

    def score(self, query, texts):
        self.asked.append(list(texts))
        return np.array([text.count("a") - 0.1 * len(text) for text in texts])


def test_judged_values_are_remembered_by_sequence_or_by_set():
    for ordered, known in ((True, 4), (False, 3)):
        reranker = Longest()
        value = Judged(reranker, Plain("sigmoid"), "q", ["aa", "b", "ab"], ordered)
        value.extended((), np.array([0, 1]))
        value.extended((0,), np.array([1]))
        value.extended((1,), np.array([0]))
        value.extended((), np.array([0, 1]))
        assert value.scored == known
        assert reranker.asked[:2] == [["aa", "b"], ["aa\n\nb"]]
    assert [len(call) for call in reranker.asked] == [2, 1]


def test_a_sequence_beyond_the_scorers_window_is_never_valued():
    reranker = Longest()
    value = Judged(reranker, Plain("sigmoid"), "q", ["aaaa", "aaa", "aa"])
    problem = Problem(value, np.array([1, 1, 1]), 3, "abc", lengths=np.array([4, 3, 2]), window=6)
    searched(problem, iterations=50)
    assert max(len(text.replace("\n", "")) for call in reranker.asked for text in call) <= 6


def test_coverage_equals_its_formula():
    texts = ["cats sleep all day", "dogs bark", "cats and dogs", "the day of the dog"]
    scores = np.array([0.9, 0.5, 0.4, 0.1])
    value = coverage("do cats bark", texts, scores, relevance=0.25, redundancy=0.2, language="none")
    similarity = value.similarity
    for size in (1, 2, 3, 4):
        for chosen in combinations(range(4), size):
            state = value.start()
            for item in chosen[:-1]:
                state = value.pushed(state, item)
            found = value.extended(state, np.array([chosen[-1]]))[0]
            pairs = [similarity[one, two] for one, two in combinations(chosen, 2)]
            wanted = value.terms[list(chosen)].max(axis=0).sum() - 0.2 * (np.mean(pairs) if pairs else 0.0)
            assert found == pytest.approx(wanted)
    assert value.terms[:, -1].tolist() == pytest.approx([0.25, 0.125, 0.09375, 0.0])
    lengths, asked = [4, 2, 3, 5], {"cats": (1, 0, 1, 0), "bark": (0, 1, 0, 0)}
    idf = {term: np.log1p((4 - sum(tf) + 0.5) / (sum(tf) + 0.5)) for term, tf in asked.items()}
    for column, (term, tf) in enumerate(asked.items(), start=1):
        for row, times in enumerate(tf):
            saturated = times / (times + 1.2 * (0.25 + 0.75 * lengths[row] / 3.5))
            assert value.terms[row, column] == pytest.approx(0.75 * idf[term] / sum(idf.values()) * saturated)
    assert np.allclose(np.diag(similarity), 1)
    assert similarity[0, 1] == 0


def test_coverage_falls_by_what_repeats():
    value = Coverage(np.array([[0.5], [0.5], [0.4]]), np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]]), 0.3)
    state = value.pushed(value.start(), 0)
    assert value.extended(state, np.array([1, 2])).tolist() == pytest.approx([0.2, 0.5])


@pytest.mark.parametrize(
    "options", [{"c": -1}, {"cost_weight": -0.1}, {"iterations": 0}, {"patience": 0}, {"c": float("nan")}]
)
def test_wrong_rules(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        TreeRules(**options)
