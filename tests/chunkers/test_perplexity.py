"""The perplexity chunker: the examples, the traps of the published code, what is asked of the model, and failures."""

from __future__ import annotations

import math
import re
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.chunkers import streaming
from ragkit.chunkers.packing import Limits, TokenView
from ragkit.chunkers.perplexity import PerplexityChunker
from ragkit.chunkers.sentence_scores import owners, sentence_means
from ragkit.chunkers.thresholds import RunningMinimum, Threshold
from ragkit.chunkers.units import Units
from ragkit.errors import BudgetExceededError, ConfigError, ModelError, ServerError, UnsupportedError
from ragkit.inference import TokenScores, Windows
from ragkit.models.cache_lm import CacheLanguageModel
from ragkit.models.tokenizer import HfTokenizer
from ragkit.models.words import WordTokenizer
from ragkit.schema import Document
from ragkit.testing.chunker import check_chunker, documents_strategy
from tests.published_rules import published_minima
from tests.scripted_models import ScriptedModel, by_sentence, marked_text

EXAMPLES = settings().max_examples // 5
EXAMPLE = [2.0, 1.2, 1.5, 1.4, 1.0, 1.6, 0.9]
WORDS = WordTokenizer()
LIMIT = streaming.MARGIN
"""What stays free of a limit where tokens may depend on their context; a marked sentence has 4 tokens."""


def make(model: Any, size: int = 400, **options: Any) -> PerplexityChunker:
    return PerplexityChunker(WORDS, model, size, **options)


def sentences(chunker: PerplexityChunker, text: str) -> list[list[int]]:
    """Return the numbers of the marked sentences of each chunk."""
    ((_, chunks),) = chunker.chunk([Document(text, source="test")])
    return [[int(number) for number in re.findall(r"Mark(\d+)", chunk.text)] for chunk in chunks]


def cut(scores: list[float], size: int = 400, **options: Any) -> list[list[int]]:
    options = {"policy": "fixed", **options}
    return sentences(make(ScriptedModel(by_sentence(scores)), size, **options), marked_text(len(scores)))


def test_worked_example_1() -> None:
    assert cut(EXAMPLE) == [[0, 1], [2, 3, 4], [5, 6]]
    assert cut(EXAMPLE, theta=0.5, first_sentence_guard=False) == [[0, 1], [2, 3, 4], [5, 6]]
    assert cut(EXAMPLE, theta=0.5) == [[0, 1, 2, 3, 4], [5, 6]]  # 0.3 to the right of sentence 1
    assert cut(EXAMPLE, theta=0.5, side_rule="both") == [[0, 1, 2, 3, 4, 5, 6]]
    assert cut(EXAMPLE, theta=0.7, parity=True) == [[0, 1], [2, 3, 4, 5, 6]]


def test_the_first_sentence_is_a_cold_start() -> None:
    scores = [9.456, 1.620, 2.597, 1.466, 1.4536, 1.4552]
    assert cut(scores, theta=1.0) == [[0, 1, 2, 3, 4, 5]]
    assert cut(scores, theta=1.0, first_sentence_guard=False) == [[0, 1], [2, 3, 4, 5]]
    assert cut(scores, theta=1.0, parity=True) == [[0, 1], [2, 3, 4, 5]]


def test_a_falling_plateau() -> None:
    assert cut([3, 1, 1, 0.5, 2]) == [[0, 1, 2, 3], [4]]
    assert cut([3, 1, 1, 0.5, 2], plateau_guard=False) == [[0, 1], [2, 3], [4]]
    assert cut([3, 1, 1, 0.5, 2], parity=True) == [[0, 1], [2, 3], [4]]


def test_worked_example_2_the_domains() -> None:
    scores = [9.0, 1.5, 2.0, 3.0]  # exponentials 4.48 and 7.39
    assert cut(scores, theta=0.5) == [[0, 1], [2, 3]]
    assert cut(scores, theta=0.6) == [[0, 1, 2, 3]]
    assert cut(scores, theta=2.9, score_domain="ppl") == [[0, 1], [2, 3]]
    assert cut(scores, theta=2.92, score_domain="ppl") == [[0, 1, 2, 3]]
    with pytest.raises(ConfigError, match="'nll', but the scores are in 'ppl'"):
        cut(scores, theta=Threshold(0.5), score_domain="ppl")
    with pytest.raises(ConfigError, match="running is in the domain 'ppl'"):
        cut(scores, policy="running_minimum", running=RunningMinimum("ppl"))


def test_a_sentence_scores_the_mean_of_its_tokens() -> None:
    nll = iter([2.0, 1.0, 3.0, 1.0])
    view = TokenView.of("One two. Three four.", WORDS.offsets(["One two. Three four."])[0], Limits(100))
    units = Units.of(Document(view.text, source="test"), view)
    spans = np.array([[0, 3], [4, 8], [9, 14], [15, 20]])
    means = sentence_means(units, TokenScores(spans, np.array([next(nll) for _ in spans], np.float32)))
    assert means.tolist() == [1.5, 2.0]


def test_a_token_with_the_space_before_its_word_belongs_to_the_word() -> None:
    text = "One two.  Three.\n\nFour"
    view = TokenView.of(text, WORDS.offsets([text])[0], Limits(100))
    units = Units.of(Document(text, source="test"), view)
    assert units.borders.tolist() == [0, 10, 18, 22]
    spans = np.array([[0, 3], [3, 7], [7, 8], [8, 9], [9, 15], [15, 16], [16, 18], [18, 22]])
    assert owners(units, spans).tolist() == [0, 0, 0, 0, 1, 1, 1, 2]


def test_merging_is_the_default_and_makes_pieces_up_to_the_target() -> None:
    scores = [3.0, 1.0] * 10  # every second sentence ends a piece of 8 tokens
    assert [len(piece) for piece in cut(scores)] == [2] * 10
    merged = cut(scores, LIMIT + 40, policy="merge")
    assert [len(piece) for piece in merged] == [10, 10]
    assert [len(piece) for piece in cut(scores, LIMIT + 40, policy="merge", target=25)] == [6, 6, 6, 2]


def test_a_piece_over_the_maximum_is_divided_after_its_smallest_inner_score() -> None:
    assert cut([5.0, 4.0, 1.0, 1.0, 3.0, 4.0], LIMIT + 16, theta=9) == [[0, 1, 2], [3, 4, 5]]
    falling = [5.0, 4.0, 3.0, 2.0, 1.0]  # the last sentence is smallest, but not an inner one
    assert cut(falling, LIMIT + 16) == [[0, 1, 2, 3], [4]]
    assert cut(falling, LIMIT + 16, policy="merge") == [[0, 1, 2, 3], [4]]
    rising = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert cut(rising, LIMIT + 12) == [[0, 1], [2, 3, 4]]


def test_the_length_is_matched_without_asking_twice() -> None:
    # Sentences 1, 3, ... are 1, 2, ... 8 deep: with the threshold 5 four pass.
    scores = [9.0, *(value for depth in range(1, 9) for value in (9.0 - depth, 9.0))]
    model = ScriptedModel(by_sentence(scores))
    chunker = make(model, policy="length_matched", target=14)
    assert [piece[-1] for piece in sentences(chunker, marked_text(len(scores)))] == [9, 11, 13, 15, 16]
    assert len(model.scored) == 1


def test_the_running_minimum_begins_anew_unless_the_caller_keeps_it() -> None:
    deep = [4.0, 1.0] * 110 + [4.0]
    shallow = [4.0, 3.0, 4.0, 3.0, 4.0]
    text, other = marked_text(len(deep)), marked_text(len(shallow))
    for running, expected in ((None, 3), (RunningMinimum(), 1)):
        model = ScriptedModel(by_sentence(deep))
        chunker = make(model, policy="running_minimum", running=running)
        assert len(sentences(chunker, text)) == 111
        model.scores = by_sentence(shallow)
        assert len(sentences(chunker, other)) == expected


def test_overlap_puts_the_boundary_sentence_into_both_chunks() -> None:
    assert cut(EXAMPLE, overlap="boundary_sentence") == [[0, 1], [1, 2, 3, 4], [4, 5, 6]]
    check_chunker(make(ScriptedModel(), 40, overlap="boundary_sentence", policy="fixed"), tokenizer=WORDS, limit=40)
    check_chunker(make(ScriptedModel(), 40, overlap="boundary_sentence"), tokenizer=WORDS, limit=40)


def test_overlap_never_breaks_the_maximum() -> None:
    scores = [3.0, 1.0] * 10
    for policy in ("fixed", "merge"):
        pieces = cut(scores, LIMIT + 16, policy=policy, overlap="boundary_sentence")
        assert all(len(piece) <= 4 for piece in pieces)
        assert sorted({number for piece in pieces for number in piece}) == list(range(20))
        assert sum(len(piece) for piece in pieces) > 20


# What the published code does wrong


def test_long_sentences_are_not_cut_off() -> None:
    text = "One is short. " + "word " * 1500 + "end. Two is short. Three is short."
    ((_, chunks),) = make(ScriptedModel(), 200).chunk([Document(text, source="test")])
    assert sum(chunk.text.count("word") for chunk in chunks) == 1500
    assert max(WORDS.count([chunk.text for chunk in chunks])) <= 200


def test_no_space_is_lost_or_added() -> None:
    text = "  First here.  Second\nthere.\n\nThird here.\tFourth there.   "
    ((document, chunks),) = make(ScriptedModel(), 8, policy="fixed").chunk([Document(text, source="test")])
    assert len(chunks) > 1
    assert all(chunk.text == document.text[chunk.start : chunk.end] for chunk in chunks)


def test_a_first_sentence_of_one_token_without_a_score_hides_no_minimum() -> None:
    def scores(word: str, at: int) -> float:
        return math.nan if at == 0 else {"One": 5, "Low": 1, "Two": 5, "Three": 4}.get(word, 0)

    text = "Hi\n\nOne\n\nLow\n\nTwo\n\nThree"
    (plain,) = make(ScriptedModel(scores), policy="fixed").chunk([Document(text, source="test")])
    assert [chunk.text for chunk in plain.chunks] == ["Hi\n\nOne\n\nLow", "Two\n\nThree"]
    low = "Hi\n\nLow\n\nTwo\n\nThree"
    (parity,) = make(ScriptedModel(scores), policy="fixed", parity=True).chunk([Document(low, source="test")])
    assert [chunk.text for chunk in parity.chunks] == [low]  # NaN: sentence 1 is no minimum, as published


def test_chunks_never_go_over_the_end_of_a_document() -> None:
    documents = [Document(f"Document {number} is short.", source=str(number)) for number in range(5)]
    found = list(make(ScriptedModel()).chunk(documents))
    assert [[chunk.text for chunk in chunked.chunks] for chunked in found] == [[item.text] for item in documents]


def test_the_context_of_a_sentence_is_the_whole_text_before_it() -> None:
    model = ScriptedModel()
    text = marked_text(9)
    sentences(make(model, policy="fixed"), text)
    assert model.scored == [[text]]
    assert model.contexts == [None]


def test_windows_are_passed_on_and_checked() -> None:
    model = ScriptedModel()
    sentences(make(model, policy="fixed", window=512, stride=100), marked_text(9))
    assert model.options[0]["windows"] == Windows(512, 100)
    with pytest.raises(ConfigError, match="window of 512 tokens cannot move by 513"):
        make(model, window=512, stride=513)


# What is asked


def test_many_documents_are_one_call_and_short_ones_none() -> None:
    model = ScriptedModel()
    documents = [Document(marked_text(200), source=str(number)) for number in range(30)]
    documents += [Document("Short. Very. Indeed.", source="short"), Document("", source="empty")]
    assert len(list(make(model, 100).chunk(documents))) == 32
    assert [len(call) for call in model.scored] == [30]


def test_a_text_that_is_joined_anyway_is_not_scored_and_comes_out_as_if_it_were() -> None:
    text = marked_text(9)
    model = ScriptedModel()
    assert sentences(make(model, LIMIT + 36), text) == [list(range(9))]
    assert model.scored == []
    assert len(sentences(make(model, LIMIT + 35), text)) == 2
    assert len(model.scored) == 1


def test_a_batch_is_bounded_by_its_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    text = marked_text(60)
    monkeypatch.setattr(streaming, "BATCH_CHARACTERS", 4 * len(text))
    model = ScriptedModel()
    documents = (Document(f"{text} Number {number}.", source=str(number)) for number in range(10))
    assert len(list(make(model, 100).chunk(documents))) == 10
    assert [len(call) for call in model.scored] == [4, 4, 2]


def test_sentences_alone_get_what_stands_before_them_as_context() -> None:
    model = ScriptedModel()
    text = marked_text(4)
    sentences(make(model, policy="fixed", tokenize="per_sentence"), text)
    assert model.scored == [[f"Mark{number} is here." for number in range(4)]]
    assert model.contexts == [["", *(marked_text(number) + " " for number in range(1, 4))]]


@pytest.mark.parametrize("tokenize", ["whole", "per_sentence"])
def test_both_ways_to_tokenise_cut_alike_where_tokens_are_words(tokenize: str) -> None:
    def scores(word: str, at: int) -> float:  # the same alone and in the text
        return EXAMPLE[int(word[4:])] if word.startswith("Mark") else 0.0

    model = ScriptedModel(scores)
    assert sentences(make(model, policy="fixed", tokenize=tokenize), marked_text(7)) == [[0, 1], [2, 3, 4], [5, 6]]


def test_progress_moves_while_scoring() -> None:
    seen: list[tuple[str, int, int | None]] = []
    sentences(make(ScriptedModel(), policy="fixed", progress=lambda *step: seen.append(step)), marked_text(9))
    assert seen == [("score", 1, 1)]


# Failures


def three(word: str = "poison") -> list[Document]:
    return [Document(f"{marked_text(30)} {middle} ends.", source=middle) for middle in ("first", word, "last")]


@pytest.mark.parametrize("error", [ModelError, ServerError])
def test_a_document_that_the_model_fails_on_is_reported_and_the_rest_goes_on(error: type[Exception]) -> None:
    chunker = make(ScriptedModel(fails_on="poison", error=error), 40)
    first, failed, last = chunker.chunk(three())
    assert (first.failure, last.failure) == (None, None)
    assert first.chunks
    assert last.chunks
    assert failed.chunks == []
    assert failed.failure == "The text is longer than the model's window."
    assert failed.document.source == "poison"


def test_without_a_server_the_run_ends() -> None:
    model = ScriptedModel(down=True, error=ServerError)
    with pytest.raises(ServerError, match="No server answers"):
        list(make(model, 40).chunk(three()))
    assert [len(call) for call in model.scored] == [3, 1]  # all of them, and something harmless


@pytest.mark.parametrize("error", [BudgetExceededError, UnsupportedError, KeyboardInterrupt])
def test_what_no_other_document_would_survive_ends_the_run(error: type[Exception]) -> None:
    model = ScriptedModel(fails_on="poison", error=error)
    with pytest.raises(error):
        list(make(model, 40).chunk(three()))
    assert len(model.scored) == 1


@pytest.mark.parametrize(("bad", "at"), [(math.nan, 5), (math.inf, 0), (math.inf, 9)])
def test_a_score_that_is_no_number_is_a_failure_not_a_zero(bad: float, at: int) -> None:
    model = ScriptedModel(lambda word, place: bad if place == at else 1.0)
    (chunked,) = make(model, policy="fixed").chunk([Document(marked_text(9), source="test")])
    assert chunked.chunks == []
    assert "the score" in str(chunked.failure)


# The contract


@pytest.mark.parametrize("policy", ["merge", "fixed", "running_minimum", "length_matched"])
def test_every_policy_passes_the_kit(policy: str, tokenizer: HfTokenizer) -> None:
    options: dict[str, Any] = {"target": 20} if policy == "length_matched" else {}
    chunker = PerplexityChunker(tokenizer, ScriptedModel(), 40, policy=policy, **options)  # type: ignore[arg-type]  # drawn
    check_chunker(chunker, tokenizer=tokenizer, limit=40)


@settings(suppress_health_check=list(HealthCheck), max_examples=EXAMPLES)
@given(
    documents=st.lists(documents_strategy(), max_size=3),
    size=st.integers(16, 64),
    parity=st.booleans(),
    overlap=st.sampled_from(["none", "boundary_sentence"]),
    cap=st.sampled_from([0, 70]),
)
def test_random_documents(
    tokenizer: HfTokenizer, documents: list[Document], size: int, parity: bool, overlap: Any, cap: int
) -> None:
    chunker = PerplexityChunker(
        tokenizer, ScriptedModel(), size, parity=parity, overlap=overlap, policy="fixed", max_characters=cap
    )
    check_chunker(chunker, documents, tokenizer=tokenizer, limit=size, streaming=False)


@given(st.lists(st.integers(0, 12).map(lambda number: number / 4), min_size=3, max_size=20), st.integers(0, 8))
def test_parity_cuts_where_the_published_rules_do(scores: list[float], theta: int) -> None:
    edges = [0, *(index + 1 for index in published_minima(scores, theta / 4)), len(scores)]
    expected = [list(range(first, last)) for first, last in pairwise(edges)]
    assert cut(scores, theta=theta / 4, parity=True) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"theta": -0.1}, "theta is -0.1"),
        ({"theta": math.nan}, "theta is nan"),
        ({"policy": "running_minimum", "theta": 0.5}, "finds its own threshold"),
        ({"policy": "length_matched"}, "needs a target"),
        ({"policy": "fixed", "target": 50}, "aims at no length"),
        ({"target": 401}, "target is 401; expected 1 to size, 400"),
        ({"target": -1}, "target is -1"),
        ({"parity": True, "side_rule": "both"}, "parity means side_rule 'any'"),
        ({"parity": True, "score_domain": "ppl"}, "parity means"),
        ({"size": 7}, "size is 7"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make(ScriptedModel(), **options)


def test_the_fingerprint_tells_every_option() -> None:
    other = ScriptedModel()
    other.fingerprint = "scripted-2"
    made = [make(ScriptedModel()), make(other), make(ScriptedModel(), 401)]
    made += [
        make(ScriptedModel(), **options)
        for options in (
            {"policy": "fixed"},
            {"policy": "running_minimum"},
            {"policy": "running_minimum", "running": RunningMinimum()},
            {"policy": "length_matched", "target": 100},
            {"theta": 0.1},
            {"target": 100},
            {"side_rule": "both"},
            {"score_domain": "ppl"},
            {"first_sentence_guard": False},
            {"plateau_guard": False},
            {"overlap": "boundary_sentence"},
            {"tokenize": "per_sentence"},
            {"window": 4000},
            {"stride": 1000},
            {"parity": True},
            {"max_characters": 999},
        )
    ]
    assert len({chunker.fingerprint for chunker in made}) == len(made)
    assert make(ScriptedModel()).fingerprint == made[0].fingerprint


# Without a model


def test_worked_example_6_the_cache_language_model() -> None:
    text = "a b\n\na b\n\nc d\n\nc d"
    model = CacheLanguageModel(vocabulary=10)
    (scored,) = model.score([text])
    expected = [2.3026, 2.9957, 1.2040, 1.5294, 2.9957, 2.9957, 2.0149, 2.1084]
    assert scored.nll.tolist() == pytest.approx(expected, abs=5e-5)
    (chunked,) = make(model, policy="fixed").chunk([Document(text, source="test")])
    assert [chunk.text for chunk in chunked.chunks] == ["a b\n\na b", "c d\n\nc d"]
    assert [chunk.metadata for chunk in chunked.chunks] == [{"approximate": True}] * 2


def test_a_language_model_s_chunks_are_not_called_approximate() -> None:
    ((_, chunks),) = make(ScriptedModel()).chunk([Document("One. Two.", source="test")])
    assert chunks[0].metadata == {}


def test_the_cache_language_model_passes_the_kit() -> None:
    check_chunker(make(CacheLanguageModel(), 40), tokenizer=WORDS, limit=40)


def test_topics_are_told_apart_without_a_model() -> None:
    cats = "The cat sleeps on the mat. A cat hunts mice on the mat. The mice fear the cat. The cat sleeps. "
    rates = "Interest rates rose sharply. Higher rates hurt loans. Loans and rates fell later. Rates fell. "
    ((_, chunks),) = make(CacheLanguageModel(), policy="fixed", theta=1.0).chunk([Document(cats + rates, source="x")])
    assert any(chunk.end == len(cats) - 1 for chunk in chunks)


def test_no_warning_is_left_over() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cut(EXAMPLE)
        sentences(make(ScriptedModel(), policy="fixed"), "\x00\x01 . \n\n ! \n\n \u200b \n\n ?")
