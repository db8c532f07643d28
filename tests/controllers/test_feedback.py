"""SAGE's feedback loop: the worked example, round limits, best-of, repeated selections, costs, judges that fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragkit.budget import Budget, Price
from ragkit.chunkers.sentences import split_sentences
from ragkit.config import PartConfig
from ragkit.controllers.adjusting import larger, smaller
from ragkit.controllers.feedback import FeedbackController
from ragkit.controllers.judging import HeuristicJudge, Review
from ragkit.controllers.question import PipelineQuestion
from ragkit.controllers.sizes import resized
from ragkit.errors import BudgetExceededError, ConfigError, SchemaError, ServerError, UnsupportedError, UsageError
from ragkit.models.hashing import HashingEmbedder
from ragkit.plugins import create
from ragkit.protocols import Controller
from ragkit.schema import Chunk, Document, Dropped, Hit, Selection
from ragkit.selectors.extractive import ExtractiveSelector
from ragkit.selectors.score_cut import ScoreCutSelector
from ragkit.testing.scripted import ScriptedLanguageModel

SCORES = [0.95, 0.90, 0.86, 0.84, 0.80, 0.40]


def hit(rank, score, text=None):
    document = Document(text or f"Fact number {rank}.", f"s{rank}.md")
    return Hit(rank, score, f"c{rank}", Chunk.of(document, 0, len(document.text)), document.source, None, 1, rank)


HITS = [hit(rank, score) for rank, score in enumerate(SCORES, 1)]


def review(score, context):
    return {"score": score, "context": context, "reason": "so"}


def scripted(*reviews, **options):
    """Return a model that answers with a count, and judges as told."""
    said = iter(range(1, 99))
    return ScriptedLanguageModel(lambda _: f"Reply {chr(64 + next(said))}.", records=list(reviews), **options)


def asking(model, selector=None, budget=None, hits=HITS):
    chosen = PartConfig.model_validate(selector or {"name": "score_cut", "policy": {"name": "sage", "min_k": 3}})

    def selecting(question, found, by):
        part = resized(chosen, by) if by else chosen
        return create("selectors", part.name, part.options, count=model.count).select(question, found, 1000)

    return PipelineQuestion(
        "Which fact?", 10, lambda: 1000, (budget or Budget()).meter(), model, 32, lambda *_: list(hits), selecting
    )


def run(model, selector=None, budget=None, hits=HITS, **options):
    question = asking(model, selector, budget, hits)
    return question.finished(FeedbackController(language_model=model, **options).control(question))


def rounds(answer):
    return [(len(one["kept"]), one.get("score")) for one in answer.trace["controller"]["rounds"]]


def stopped(answer):
    return answer.trace["controller"]["stopped"]


def test_a_good_answer_costs_one_judgement_and_no_further_call():
    model = scripted(review(9, "add"))
    answer = run(model)
    assert (answer.text, rounds(answer), stopped(answer)) == ("Reply A.", [(5, 9)], "graded 9, at least 9")
    assert [ability for ability, _ in model.calls] == ["generate", "records"]
    assert model.calls[1][1].index("Fact number 1") < model.calls[1][1].index("Which fact?"), "documents first"


def test_example_4_a_changed_setting_changes_nothing_and_ends_the_loop():
    paper = run(scripted(review(4, "remove")), mode="paper")
    assert rounds(paper) == [(5, 4)]
    assert stopped(paper) == "the selection was tried before"
    ours = run(scripted(review(4, "remove"), review(9, "keep")))
    assert rounds(ours) == [(5, 4), (4, 9)]


def test_the_setting_does_change_a_plain_selector():
    answer = run(scripted(review(4, "remove"), review(9, "keep")), {"name": "top_k", "k": 3}, adjust="setting")
    assert rounds(answer) == [(3, 4), (2, 9)]


def test_at_most_three_rounds_and_the_best_or_the_last_is_returned():
    reviews = [review(7, "add"), review(3, "add"), review(5, "add")]
    top = {"name": "top_k", "k": 2}
    best, last = run(scripted(*reviews), top), run(scripted(*reviews), top, returns="last")
    assert rounds(best) == [(2, 7), (3, 3), (4, 5)]
    assert stopped(best) == "3 rounds are over"
    assert (best.text, best.trace["controller"]["returned"]) == ("Reply A.", 1)
    assert (last.text, last.trace["controller"]["returned"]) == ("Reply C.", 3)
    assert best.trace["kept"] == ["c1", "c2"], "the trace is that of the answer returned"
    assert run(scripted(*reviews), top, mode="paper").text == "Reply C."


def test_of_equal_grades_the_earlier_is_returned():
    assert run(scripted(review(5, "add")), {"name": "top_k", "k": 2}).trace["controller"]["returned"] == 1


def test_going_back_and_forth_ends():
    answer = run(scripted(review(4, "add"), review(4, "remove")), {"name": "top_k", "k": 2})
    assert rounds(answer) == [(2, 4), (3, 4)]
    assert stopped(answer) == "the selection was tried before"


def test_nothing_to_remove_or_add_and_keep():
    assert stopped(run(scripted(review(2, "remove")), {"name": "top_k", "k": 1})) == "nothing can be removed"
    assert stopped(run(scripted(review(2, "add")), {"name": "top_k", "k": 9})) == "nothing that fits can be added"
    assert stopped(run(scripted(review(2, "keep")))) == "the judge wants no other context"


def test_the_next_chunk_is_that_of_the_selectors_own_order():
    class Backwards:
        name, fingerprint, scale, window = "backwards", "b", "probability", None

        def score(self, query, texts):
            return [int(text.split()[2][0]) / 10 for text in texts]

    selector = ScoreCutSelector({"name": "fixed", "k": 2}, "none", reranker=Backwards(), count=lambda t: [1] * len(t))
    selection = selector.select("q", HITS, 100)
    more = larger(selection, asking(scripted()))
    assert [one.chunk_id for one in more.hits] == ["c6", "c5", "c4"]


def test_flagged_chunks_never_come_back_and_what_does_not_fit_is_passed_over():
    long = hit(3, 0.5, "word " * 2000)
    dropped = (Dropped(HITS[1], "poison", ("contradiction",)), Dropped(long, "long"), Dropped(HITS[3], "rank"))
    more = larger(Selection((HITS[0],), dropped, 3), asking(scripted()))
    assert [one.chunk_id for one in more.hits] == ["c1", "c4"]
    assert [one.hit.chunk_id for one in more.dropped] == ["c2", "c3"]
    assert more.tokens == 6
    assert larger(Selection((HITS[0],), dropped[:2]), asking(scripted())) is None


def test_an_ordered_selection_loses_its_worst_not_its_last():
    less = smaller(Selection((HITS[4], HITS[0]), (), 6, ordered=True), asking(scripted()))
    assert [one.chunk_id for one in less.hits] == ["c1"]
    assert less.dropped[0].reason == "the judge wants less"


def test_a_judge_that_does_not_answer_is_asked_once_more_then_the_answer_is_accepted():
    broken = SchemaError("no JSON")
    once = scripted(broken, review(9, "keep"))
    assert rounds(run(once)) == [(5, 9)]
    assert run(once).trace["controller"]["feedback_failed"] is False
    answer = run(scripted(broken))
    assert answer.trace["controller"]["feedback_failed"] is True
    assert stopped(answer) == "the judge did not answer: no JSON"
    assert answer.text == "Reply A."
    late = run(scripted(review(8, "add"), broken, broken), {"name": "top_k", "k": 2})
    assert (late.text, late.trace["controller"]["returned"]) == ("Reply B.", 2), "accepted, though it has no grade"
    gone = run(scripted(ServerError("No server answers.")))
    assert gone.trace["controller"]["rounds"][0]["failed"] == "No server answers."


def test_all_calls_are_counted_and_a_spent_budget_keeps_the_best_answer():
    model = scripted(review(4, "add"), price=Price(1, 1))
    answer = run(model, {"name": "top_k", "k": 2})
    stages = answer.trace["spent"]["stages"]
    assert (stages["generate"]["calls"], stages["judge"]["calls"]) == (3, 3)
    assert answer.trace["spent"]["dollars"] > 0
    first = stages["generate"]["prompt_tokens"] // 3
    short = run(scripted(review(4, "add")), {"name": "top_k", "k": 2}, Budget(tokens=first + 130))
    assert stopped(short) == "the budget is spent"
    assert short.text == "Reply A."
    with pytest.raises(BudgetExceededError):
        run(scripted(), None, Budget(tokens=3))


def test_what_fails_in_a_later_round_ends_the_loop_and_loses_no_answer():
    unset = run(scripted(review(4, "add")), {"name": "tree_search"}, adjust="setting")
    assert "has no size" in stopped(unset)
    assert unset.text == "Reply A."
    replies = iter(["Reply A.", ServerError("No server answers.")])
    model = ScriptedLanguageModel(lambda _: next(replies), records=[review(4, "add")])
    failing = run(model, {"name": "top_k", "k": 2})
    assert (failing.text, stopped(failing)) == ("Reply A.", "No server answers.")
    with pytest.raises(ServerError):
        run(ScriptedLanguageModel(lambda _: ServerError("No server answers."), records=[]))


def test_nothing_selected_is_not_judged():
    model = scripted()
    answer = run(model, hits=[])
    assert (stopped(answer), model.calls) == ("nothing was selected", [])


def test_the_heuristic_judge_looks_at_words():
    judge, meter = HeuristicJudge(), Budget().meter()
    found = judge.review("Which harbour has cranes?", [hit(1, 1, "The harbour has four cranes.")], "x", meter)
    assert (found.score, found.context) == (10, "keep")
    assert judge.review("Which harbour?", [hit(1, 1, "The moon.")], "x", meter) == Review(
        score=1, context="add", reason="0% of the question's words are in the passages"
    )
    hits = [hit(1, 1, "harbour"), hit(2, 1, "moon"), hit(3, 1, "sun")]
    assert judge.review("Which harbour?", hits, "x", meter).context == "remove"
    answer = run(scripted(), judge="heuristic")
    assert answer.trace["controller"]["judge"] == "heuristic_judge"


def test_sizes():
    assert resized(PartConfig(name="top_k"), 2).options == {"k": 7}
    assert resized(PartConfig(name="mmr", options={"k": 2}), -5).options["k"] == 1
    assert resized(PartConfig(name="score_cut"), 1).options["policy"]["min_k"] == 3
    fixed = PartConfig(name="score_cut", options={"policy": {"name": "fixed", "k": 4}})
    assert resized(fixed, -1).options["policy"] == {"name": "fixed", "k": 3}
    with pytest.raises(UnsupportedError, match="no size"):
        resized(PartConfig(name="tree_search"), 1)


def test_wrong_use():
    with pytest.raises(ConfigError, match="rounds is 0"):
        FeedbackController(rounds=0, judge="heuristic")
    with pytest.raises(ConfigError, match="accept is 11; expected 1 to 10"):
        FeedbackController(accept=11, judge="heuristic")
    with pytest.raises(UsageError, match="needs `language_model`"):
        FeedbackController()
    assert isinstance(FeedbackController(judge="heuristic"), Controller)


def test_auto_with_options_has_a_size_too():
    chosen = PartConfig(name="score_cut", options={"policy": {"name": "auto", "max_k": 2}})
    policy = resized(chosen, 1).options["policy"]
    assert (policy["name"], policy["compare_to"], policy["min_k"], policy["max_k"]) == ("drop", "anchor", 3, 3)


def test_what_is_added_takes_its_place_in_the_documents_order():
    texts = ["alpha one.", "beta two.", "gamma three.", "delta alpha."]
    places = [(11 * at, text) for at, text in enumerate(texts)]
    given = [
        Hit(rank, 1.0 - 0.1 * rank, f"c{at}", Chunk("d", at, at + len(text), text), "s", None, None, -1)
        for rank, (at, text) in enumerate(reversed(places), 1)
    ]
    enough = type("Asking", (), {"limit": 99, "count": staticmethod(lambda texts: [1] * len(texts))})()
    made = create("selectors", "tree_search", {"order": "document"}, count=enough.count)
    selection = made.select("alpha gamma", given)
    assert selection.ordered
    for removed in selection.hits:
        rest = tuple(one for one in selection.hits if one is not removed)
        fewer = replace(selection, hits=rest, dropped=(Dropped(removed, "x"),))
        assert larger(fewer, enough).hits == selection.hits
    found_best = replace(selection, hits=(given[0], given[2]), dropped=(Dropped(given[1], "x"),))
    assert larger(found_best, enough).hits == (given[1], given[0], given[2]), "another order: the weakest first"


def test_what_is_added_fits_the_selectors_own_budget():
    def counted(texts):
        return [len(text.split()) for text in texts]

    enough = type("Asking", (), {"limit": 99, "count": staticmethod(counted)})()
    made = [
        create("selectors", "tree_search", {"tokens": 5}, count=counted),
        create("selectors", "score_cut", {"max_tokens": 5, "policy": {"name": "fixed", "k": 9}}, count=counted),
        ExtractiveSelector(
            share=0.4, of=6, embedder=HashingEmbedder(), sentences=split_sentences, count=counted, k=None
        ),
    ]
    for selector in made:
        selection = selector.select("Which fact?", HITS)
        budget = selection.trace["budget"]
        most = budget["tokens"] if isinstance(budget, dict) else budget
        assert 0 < selection.tokens <= most < 18
        grown = larger(selection, enough)
        assert grown is None or grown.tokens <= most
        assert larger(replace(selection, trace={}), enough).tokens <= 99, "without a budget there is one to add"
