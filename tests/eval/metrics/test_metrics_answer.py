"""Answer metrics: the worked examples, rouge-score, nltk and sacrebleu as oracles, and Chinese."""

import warnings

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer

from ragkit.errors import UsageError
from ragkit.eval.metrics import (
    AbstentionRates,
    ChoiceAccuracy,
    abstention,
    bleu,
    choice_accuracy,
    chosen,
    corpus_bleu,
    evaluate_answers,
    exact_match,
    is_refusal,
    lexical_faithfulness,
    meteor_exact,
    rouge_l,
    rouge_n,
    token_f1,
)
from ragkit.eval.metrics.answer.meteor import aligned_runs
from ragkit.eval.metrics.answer.rouge import longest_common_subsequence
from ragkit.eval.metrics.answer.words import normalised, words
from ragkit.eval.types import Query

VOCABULARY = ["the", "a", "cat", "dog", "sat", "on", "mat", "runs", "12", "x_y", "U.S.", "don't"]
SENTENCES = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)
FILLED = SENTENCES.filter(lambda text: bool(words(text)))


def test_example_h():
    pred, gold = "Barack Obama born 1961", "Obama was born in 1961"
    assert token_f1(pred, gold) == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert exact_match(pred, gold) == 0.0


def test_example_i():
    assert rouge_l("the cat lay on a mat", "the cat sat on the mat") == pytest.approx(4 / 6)


def test_example_j():
    candidate, reference = "the cat sat on mat", "the cat sat on the mat"
    assert bleu(candidate, reference, n=1) == pytest.approx(0.8187, abs=1e-4)
    assert bleu(candidate, reference, n=4, smooth=False) == pytest.approx(0.579, abs=5e-4)
    assert bleu(candidate, reference) == pytest.approx(0.8187 * (1 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25, abs=1e-4)
    assert meteor_exact(candidate, reference) == pytest.approx(0.820, abs=5e-4)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The  U.S. Army!", ["us", "army"]),
        ("An apple, a day", ["apple", "day"]),
        ("“the” rock–solid", ["rocksolid"]),
        ("在1998年，东京。", ["在", "1998", "年", "东", "京"]),
        ("𠮷野家 ok", ["𠮷", "野", "家", "ok"]),
        ("서울 Tower", ["서", "울", "tower"]),
        ("theatre a", ["theatre"]),
        ("", []),
    ],
)
def test_normalisation(text: str, tokens: list[str]):
    assert normalised(text) == tokens


def test_chinese_is_compared_by_character():
    assert token_f1("北京大学", "北京大学。") == exact_match("北京 大学", "北京大学") == 1.0
    assert token_f1("北京", "北京大学") == pytest.approx(2 / 3)
    assert rouge_l("北大", "北京大学") == pytest.approx(4 / 6)


@given(st.text(), st.text())
def test_symmetry_and_range(first: str, second: str):
    for score in (token_f1, rouge_l, rouge_n, exact_match):
        assert score(first, second) == score(second, first)
        assert 0 <= score(first, second) <= 1
        assert score(first, first) == 1.0
    for score in (bleu, meteor_exact):
        assert 0 <= score(first, second) <= 1


@pytest.mark.parametrize("score", [token_f1, rouge_l, rouge_n, bleu, meteor_exact])
def test_empty_texts(score):
    assert score("", "") == 1.0
    assert score("word", "") == score("", "word") == 0.0


@given(SENTENCES, SENTENCES)
def test_rouge_score_gives_the_same(pred: str, gold: str):
    if not words(pred) or not words(gold):
        return
    # the peer cuts words at underscores and apostrophes too
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).score(gold, pred)
    assert rouge_l(pred, gold) == pytest.approx(theirs["rougeL"].fmeasure)
    assert rouge_n(pred, gold, 1) == pytest.approx(theirs["rouge1"].fmeasure)
    assert rouge_n(pred, gold, 2) == pytest.approx(theirs["rouge2"].fmeasure)


@given(st.lists(st.sampled_from("abc"), max_size=80), st.lists(st.sampled_from("abc"), max_size=80))
def test_longest_common_subsequence_against_the_table(first: list[str], second: list[str]):
    row = [0] * (len(second) + 1)
    for mine in first:
        previous = row
        row = [0]
        for place, theirs in enumerate(second):
            row.append(previous[place] + 1 if mine == theirs else max(previous[place + 1], row[-1]))
    assert longest_common_subsequence(first, second) == row[-1]


@given(st.lists(st.tuples(FILLED, st.lists(FILLED, min_size=2, max_size=2)), min_size=1, max_size=4))
def test_sacrebleu_gives_the_same_for_a_corpus(pairs: list[tuple[str, list[str]]]):
    tokenised = [(" ".join(words(pred)), [" ".join(words(gold)) for gold in golds]) for pred, golds in pairs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sacrebleu.corpus_bleu(
            [pred for pred, _ in tokenised],
            [[golds[which] for _, golds in tokenised] for which in (0, 1)],
            smooth_method="none",
            tokenize="none",
            use_effective_order=True,
        )
    ours = corpus_bleu([pred for pred, _ in pairs], [golds for _, golds in pairs])
    shared_all = all(correct for correct, total in zip(theirs.counts, theirs.totals, strict=True) if total)
    # sacrebleu leaves orders without a match out; by definition their precision makes the product 0
    assert ours == pytest.approx(theirs.score / 100 if shared_all else 0.0)


def test_corpus_bleu_wants_references():
    with pytest.raises(UsageError, match="1 of them empty"):
        corpus_bleu(["a"], [[]])
    with pytest.raises(UsageError, match="1 predictions and 0 lists"):
        corpus_bleu(["a"], [])


class NoSynonyms:
    def synsets(self, _word: str) -> list[str]:
        return []


class NoStems:
    def stem(self, word: str) -> str:
        return word


@given(FILLED, FILLED)
def test_nltk_meteor_is_never_better_than_ours(pred: str, gold: str):
    mine, theirs = words(pred), words(gold)
    peer = single_meteor_score(theirs, mine, stemmer=NoStems(), wordnet=NoSynonyms(), alpha=0.9, beta=3, gamma=0.5)
    # the same matches; the peer takes pairs from the end, which can make more runs and a higher penalty
    assert meteor_exact(pred, gold) >= peer - 1e-9
    if len(set(mine)) == len(mine) and len(set(theirs)) == len(theirs):
        assert meteor_exact(pred, gold) == pytest.approx(peer)


@given(st.lists(st.sampled_from("abcd"), max_size=20), st.lists(st.sampled_from("abcd"), max_size=20))
def test_aligned_runs_match_every_shared_word(first: list[str], second: list[str]):
    shared = sum(min(first.count(word), second.count(word)) for word in set(first))
    runs = aligned_runs(first, second)
    assert sum(runs) == shared
    assert runs == sorted(runs, reverse=True)


def question(*answers: str, answerable: bool = True) -> Query:
    return Query("q", "?", answers=answers, answerable=answerable)


def test_the_best_gold_answer_counts_and_a_missing_one_scores_zero():
    queries = [question("Paris", "City of Paris"), question("x", answerable=False), question("Rome"), question()]
    scores = evaluate_answers(["EM", "TokenF1", "ROUGE(n=2)"], queries, ["the city of Paris", "x", None, "y"])
    assert scores.counted.tolist() == [0, 2]
    assert scores["EM"].tolist() == [1.0, 0.0]
    assert scores["ROUGE(n=2)"].tolist() == [pytest.approx(0.8), 0.0]


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("B", "B"),
        (" (c) ", "C"),
        ("**D**", "D"),
        ("Answer: A", "A"),
        ("The answer is (b).", "B"),
        ("The correct option is C because A is wrong", "C"),
        ("A) Paris", "A"),
        ("B. Rome, not Paris", "B"),
        ("the answer is a dog", None),
        ("The answer is A. No, the answer is B.", None),
        ("E", None),
        ("A or B", None),
        ("Paris", None),
        ("", None),
        (None, None),
    ],
)
def test_multiple_choice_replies(reply: str | None, label: str | None):
    assert chosen(reply) == label


def test_an_unparseable_choice_is_wrong_and_reported():
    assert choice_accuracy(["A", "b", "dunno", None], ["A", "C", "D", "A"]) == ChoiceAccuracy(0.25, 0.5, 4)
    with pytest.raises(UsageError, match="'E' is not one of 'ABCD'"):
        choice_accuracy(["A"], ["E"])
    with pytest.raises(UsageError, match="0 replies"):
        choice_accuracy([], [])


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "  ",
        "I don't know.",
        "The text does not mention it.",
        "This cannot be determined.",
        "根据文章无法回答。",
    ],
)
def test_refusals(text: str | None):
    assert is_refusal(text)


@pytest.mark.parametrize("text", ["42", "He did not go.", "No, it is red.", "x " * 150 + "I don't know"])
def test_answers_are_no_refusals(text: str):
    assert not is_refusal(text)


def test_abstention_reports_both_sides():
    queries = [question(answerable=False), question(answerable=False), question("a"), question("b"), question("c")]
    found = abstention(queries, [None, "Paris", "I don't know", "b", "c"])
    assert found == AbstentionRates(0.5, pytest.approx(1 / 3), 2, 3)
    assert abstention([], []) == AbstentionRates(None, None, 0, 0)
    with pytest.raises(UsageError):
        abstention(queries, [])


def test_lexical_faithfulness_needs_one_context_to_hold_the_statement():
    contexts = ["The bridge was built in 1932 in Sydney.", "Its arch is made of steel."]
    whole = lexical_faithfulness(
        "The bridge was built in 1932. The arch is steel. It is red and costs money.", contexts
    )
    assert (whole.supported, whole.statements, whole.share) == (2, 3, pytest.approx(2 / 3))
    split = lexical_faithfulness("The Sydney bridge has a steel arch.", contexts)
    assert split.share == 0.0
    assert lexical_faithfulness("", contexts).share is None
    assert lexical_faithfulness("Steel.", []).share == 0.0


def test_refusals_are_measures_over_their_own_questions():
    queries = [question(answerable=False), question(answerable=False), question("a"), question("b")]
    answers = [None, "Paris", "I don't know", "b"]
    refused = evaluate_answers(["Abstention"], queries, answers)
    assert (refused.counted.tolist(), refused["Abstention"].tolist()) == ([0, 1], [1.0, 0.0])
    false = evaluate_answers(["FalseRefusal", "EM"], queries, answers)
    assert (false.counted.tolist(), false["FalseRefusal"].tolist()) == ([2, 3], [1.0, 0.0])
    assert false["EM"].tolist() == [0.0, 1.0]
    with pytest.raises(UsageError, match="do not count the same"):
        evaluate_answers(["Abstention", "EM"], queries, answers)


def test_lexical_faithfulness_is_a_measure_of_answer_and_sources():
    queries, answers = [question("x"), question("y"), question("z")], ["The arch is steel. It is red.", None, "Steel."]
    scores = evaluate_answers(["LexicalFaithfulness"], queries, answers, [["Its arch is made of steel."]] * 2 + [[]])
    assert scores["LexicalFaithfulness"].tolist() == [0.5, 0.0, 0.0]
    with pytest.raises(UsageError, match="from answers alone"):
        evaluate_answers(["LexicalFaithfulness"], queries, answers)
    with pytest.raises(UsageError, match="from answers alone"):
        evaluate_answers(["JudgedRelevance"], queries, answers)
