"""Corrective retrieval: the worked examples, further rounds, narrowing, graders that fail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ragkit.answering.nothing import NOTHING_FOUND
from ragkit.budget import Budget
from ragkit.chunkers.sentences import split_sentences
from ragkit.controllers.corrective import CorrectiveController
from ragkit.controllers.question import PipelineQuestion
from ragkit.errors import BudgetExceededError, ConfigError, SchemaError, ServerError, UsageError
from ragkit.protocols import Controller
from ragkit.schema import Chunk, Document, Hit
from ragkit.selectors.top_k import TopKSelector
from ragkit.testing.scripted import ScriptedLanguageModel


def hit(rank, text):
    document = Document(text, f"s{text[:1]}.md")
    return Hit(rank, 9.0 - rank, f"c{text[:1]}", Chunk.of(document, 0, len(text)), document.source, None, 1, rank)


A, B, C, D = (hit(rank, f"{name}. The {name} fact.") for rank, name in enumerate("ABCD", 1))


class Graded:
    """A reranker that grades by the first letter of a text; other texts (sentences) get `rest`."""

    name, fingerprint, scale, window = "graded", "g", "probability", None

    def __init__(self, grades, rest=1.0):
        self.grades, self.rest, self.asked = grades, rest, []

    def score(self, query, texts):
        self.asked += texts
        return np.array([self.grades.get(text[:1], self.rest) for text in texts])


def run(grades, *found, budget=None, model=None, rest=1.0, **options):
    """Return the answer and what was searched for; `found` are the hits of each retrieval."""
    searched = []
    model = model or ScriptedLanguageModel("An answer.", records={"": {"query": "other words"}})

    def retrieving(question, k, retriever):
        searched.append((question, k, retriever))
        return list(found[min(len(searched), len(found)) - 1])

    select = TopKSelector(5, model.count).select
    question = PipelineQuestion(
        "Which?", 3, lambda: 500, (budget or Budget()).meter(), model, 16, retrieving,
        lambda query, hits, _: select(query, hits, 500),
    )  # fmt: skip
    reranker = Graded(grades, rest)
    controller = CorrectiveController(reranker=reranker, language_model=model, sentences=split_sentences, **options)
    return question.finished(controller.control(question)), searched, reranker


def test_example_correct_uses_the_good_chunk_alone():
    answer, searched, _ = run({"A": 0.82, "B": 0.40, "C": 0.10}, [A, B, C], refine=False)
    trace = answer.trace["controller"]
    assert (trace["branch"], len(searched), answer.trace["kept"]) == ("correct", 1, ["cA"])
    assert trace["grades"] == {"cA": 0.82, "cB": 0.40, "cC": 0.10}
    reasons = {one["chunk_id"]: one["reason"] for one in answer.trace["dropped"]}
    assert reasons["cB"] == "graded 0.4; at least 0.7 is wanted where retrieval is correct"


def test_example_incorrect_discards_all_and_abstains_in_the_end():
    grades = {"A": 0.25, "B": 0.20, "C": 0.10}
    answer, searched, _ = run(grades, [A, B, C])
    assert answer.trace["controller"]["branch"] == "incorrect"
    assert answer.trace["kept"] == []
    assert answer.text == (
        "None of the 3 chunks found is used:\n"
        "- 3: the first of them: graded 0.25; more than 0.3 is wanted where retrieval is incorrect"
    )
    assert searched == [("Which?", 3, None), ("other words", 6, None)]
    assert answer.trace["controller"]["stopped"] == "nothing new was found"
    braver, _, _ = run(grades, [A, B, C], when_incorrect="answer", refine=False)
    assert braver.trace["kept"] == ["cA", "cB", "cC"]


def test_example_ambiguous_looks_again_and_uses_both():
    grades = {"A": 0.5, "B": 0.4, "C": 0.2, "D": 0.6}
    answer, searched, reranker = run(grades, [A, B, C], [A, D], refine=False, retriever="lexical", widen=3)
    trace = answer.trace["controller"]
    assert (trace["branch"], trace["stopped"]) == ("ambiguous", "2 rounds are over")
    assert searched[1] == ("other words", 9, "lexical")
    assert answer.trace["kept"] == ["cD", "cA", "cB"]
    assert [text[0] for text in reranker.asked] == ["A", "B", "C", "D"], "only new chunks are graded"
    assert [(one["round"], one["new"], one["branch"]) for one in trace["rounds"]] == [
        (1, 3, "ambiguous"), (2, 1, "ambiguous"),
    ]  # fmt: skip


def test_a_further_round_can_make_it_correct():
    answer, _, _ = run({"A": 0.1, "D": 0.9}, [A], [D], refine=False)
    assert answer.trace["controller"]["branch"] == "correct"
    assert answer.trace["kept"] == ["cD"]


@pytest.mark.parametrize(("grade", "branch"), [(0.7, "correct"), (0.3, "incorrect"), (0.31, "ambiguous")])
def test_borders(grade, branch):
    answer, _, _ = run({"A": grade}, [A], rounds=1, refine=False)
    assert answer.trace["controller"]["branch"] == branch


def test_strips_are_exact_spans_in_the_order_of_the_text():
    text = "A start. Nothing here. Apples help. More of it."
    grades = {"A": 0.9, "N": 0.1, "M": 0.7}
    answer, _, _ = run(grades, [hit(1, text)])
    assert answer.trace["parts"] == [
        {"chunk_id": answer.trace["kept"][0], "part_of": "cA", "start": 0, "end": 8},
        {"chunk_id": answer.trace["kept"][1], "part_of": "cA", "start": 23, "end": len(text)},
    ]
    nothing, _, _ = run({"A": 0.9}, [hit(1, "A start. Nope. Bah.")], strip=1.0, rest=0.2)
    assert [(part["start"], part["end"]) for part in nothing.trace["parts"]] == [(0, 8)], "the best one is kept"


def test_the_model_grades_and_what_it_does_not_grade_is_ambiguous():
    def records(prompt):
        if "search query" in prompt:
            raise SchemaError("no JSON")
        if "B." in prompt:
            raise SchemaError("no JSON")
        return {"score": 20}

    model = ScriptedLanguageModel("An answer.", records=records)
    answer, searched, _ = run({}, [A, B], model=model, grader="model", refine=False)
    trace = answer.trace["controller"]
    assert trace["grades"] == {"cB": 0.5, "cA": 0.2}
    assert (trace["ungraded"], answer.trace["kept"]) == (["cB"], ["cB"])
    assert trace["rounds"][1]["rewriting_failed"] == "no JSON"
    assert searched[1][0] == "Which?"
    assert answer.trace["spent"]["stages"]["grade"]["calls"] >= 2
    down = ScriptedLanguageModel("x", records=lambda _: ServerError("No server answers."))
    with pytest.raises(ServerError):
        run({}, [A], model=down, grader="model")


def test_a_query_without_a_word_is_none():
    model = ScriptedLanguageModel("An answer.", records={"": {"query": "..."}})
    answer, searched, _ = run({"A": 0.5}, [A], model=model, refine=False)
    assert searched[1][0] == "Which?"
    assert answer.trace["controller"]["rounds"][1]["rewriting_failed"] == "'...' is no query"


def test_words_in_common_need_no_model():
    model = ScriptedLanguageModel("An answer.")
    answer, _, _ = run(
        {}, [hit(1, "Which way?"), B], model=model, grader="coverage", rewrite=False, rounds=1, refine=False
    )
    assert answer.trace["controller"]["grader"] == "coverage"


def test_no_hits_and_a_spent_budget():
    answer, _, _ = run({}, [])
    assert (answer.text, answer.trace["controller"]["branch"]) == (NOTHING_FOUND, "incorrect")
    model = ScriptedLanguageModel("An answer.", records={"": {"query": "other words"}})
    spent, searched, _ = run({"A": 0.5}, [A], model=model, budget=Budget(tokens=25), refine=False)
    assert (spent.trace["controller"]["stopped"], len(searched)) == ("the budget is spent", 1)
    with pytest.raises(BudgetExceededError):
        run({}, [A], grader="model", budget=Budget(tokens=2))


def test_grades_outside_of_their_range_and_bad_numbers_are_refused():
    with pytest.raises(UsageError, match="expected 0 to 1"):
        run({"A": 7.0}, [A])
    with pytest.raises(Exception, match="nan"):
        run({"A": math.nan}, [A])
    with pytest.raises(ConfigError, match=r"lower is 0\.8"):
        CorrectiveController("coverage", lower=0.8, rewrite=False, refine=False)
    with pytest.raises(ConfigError, match="rounds is 0"):
        CorrectiveController("coverage", rounds=0, rewrite=False, refine=False)
    with pytest.raises(UsageError, match="needs `language_model`"):
        CorrectiveController("coverage", refine=False)
    assert isinstance(CorrectiveController("coverage", rewrite=False, refine=False), Controller)
