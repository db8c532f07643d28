"""The margin-sampling chunker: worked example 4, both variants, what is asked of the model, and failures."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.chunkers import streaming
from ragkit.chunkers.margin_sampling import MarginSamplingChunker
from ragkit.chunkers.margins import kept_together, question, weighed
from ragkit.errors import BudgetExceededError, ConfigError, ModelError, RagkitWarning, ServerError, UnsupportedError
from ragkit.models.cache_lm import CacheLanguageModel
from ragkit.models.tokenizer import HfTokenizer
from ragkit.models.words import WordTokenizer
from ragkit.schema import Document
from ragkit.testing.chunker import check_chunker, documents_strategy
from tests.published_rules import published_margins
from tests.scripted_models import ScriptedModel, marked_text

EXAMPLES = settings().max_examples // 5
EXAMPLE = [0.3, -0.2, 0.1, 0.4, 0.05, 0.2, 0.0]
WORDS = WordTokenizer()
LIMIT = streaming.MARGIN
MARGINS = st.lists(st.integers(-8, 8).map(lambda number: number / 16), min_size=1, max_size=25)


def answers(margins: Sequence[float]) -> Any:
    """Return probabilities whose difference is the margin of the boundary before the marked sentence B begins with."""

    def answer(prompt: str) -> tuple[float, float]:
        right = prompt.split("PASSAGE B:\n")[1]
        found = re.match(r"Mark(\d+)", right)
        margin = margins[int(found[1]) - 1] if found else 0.0
        return (1 - margin) / 2, (1 + margin) / 2

    return answer


def make(model: Any, size: int = 400, **options: Any) -> MarginSamplingChunker:
    return MarginSamplingChunker(WORDS, model, size, **options)


def sentences(chunker: MarginSamplingChunker, text: str) -> list[list[int]]:
    ((_, chunks),) = chunker.chunk([Document(text, source="test")])
    return [[int(number) for number in re.findall(r"Mark(\d+)", chunk.text)] for chunk in chunks]


def cut(margins: Sequence[float], size: int = 400, **options: Any) -> list[list[int]]:
    model = ScriptedModel(answer=answers(margins))
    return sentences(make(model, size, **{"join": False, **options}), marked_text(len(margins) + 1))


@pytest.mark.parametrize("variant", ["sentence", "chunk"])
def test_worked_example_4(variant: str) -> None:
    assert cut(EXAMPLE, variant=variant) == [[0, 1], [2, 3, 4, 5, 6], [7]]


@given(MARGINS, st.sampled_from(["sentence", "chunk"]))
def test_the_rule_is_the_published_one(margins: list[float], variant: str) -> None:
    assert cut(margins, variant=variant) == published_margins(margins)


def test_the_margin_just_used_is_in_the_mean_that_decides_next() -> None:
    assert kept_together(np.array([0.1] * 5 + [0.1])).tolist() == [True] * 5 + [False]
    assert kept_together(np.array([])).tolist() == []
    assert kept_together(np.array([0.0, 1e-9, -1.0])).tolist() == [False, True, False]


def test_each_document_begins_anew() -> None:
    texts = [marked_text(8), marked_text(8, "\n\n")]
    chunker = make(ScriptedModel(answer=answers(EXAMPLE)), join=False)
    both = list(chunker.chunk([Document(text, source="test") for text in texts]))
    assert [len(chunked.chunks) for chunked in both] == [3, 3]


def test_the_passages_come_first_and_the_labels_last() -> None:
    prompt = question("left text", "right text")
    whole = "".join(segment.text for segment in prompt)
    assert whole.startswith("PASSAGE A:\nleft text\n\nPASSAGE B:\nright text\n\n")
    assert whole.index("Answer with one digit") < whole.index("1: B begins a new unit") < whole.index("2: B goes on")
    swapped = "".join(segment.text for segment in question("left text", "right text", swapped=True))
    assert swapped.index("1: B goes on") < swapped.index("2: B begins a new unit")


def test_the_probabilities_are_those_of_the_whole_vocabulary_unless_renormalised() -> None:
    probabilities = np.array([[0.1, 0.3], [0.0, 0.0]])
    assert weighed(probabilities, renormalise=False, swap=False).margins.tolist() == pytest.approx([0.2, 0.0])
    renormalised = weighed(probabilities, renormalise=True, swap=False)
    assert renormalised.margins.tolist() == pytest.approx([0.5, 0.0])
    assert renormalised.mass.tolist() == pytest.approx([0.4, 0.0])


def test_swapping_takes_a_liking_for_one_label_out() -> None:
    model = ScriptedModel(answer=lambda prompt: (0.0, 1.0))  # says 2 whatever is asked
    assert len(sentences(make(model, join=False), marked_text(6))) < 3
    found = weighed(np.array([[0.0, 1.0], [0.0, 1.0], [0.2, 0.8], [0.6, 0.4]]), renormalise=False, swap=True)
    assert found.margins.tolist() == pytest.approx([0.0, 0.4])
    model = ScriptedModel(answer=lambda prompt: (0.0, 1.0))
    assert len(sentences(make(model, join=False, swap=True), marked_text(6))) == 6  # no margin is above 0
    assert len(model.asked[0]) == 10


def test_merging_is_the_default_and_the_maximum_is_divided_at_the_smallest_margin() -> None:
    assert cut(EXAMPLE, join=True) == [[0, 1, 2, 3, 4, 5, 6, 7]]
    assert cut(EXAMPLE, LIMIT + 24, join=True) == [[0, 1], [2, 3, 4, 5, 6, 7]]
    assert cut([0.5, 0.4, 0.1, 0.3], LIMIT + 12) == [[0, 1, 2], [3, 4]]
    assert cut([0.5, 0.4, 0.1, 0.3], LIMIT + 12, variant="chunk") == [[0, 1, 2], [3, 4]]


# What is asked


def test_all_sentences_of_many_documents_are_one_call() -> None:
    model = ScriptedModel()
    documents = [Document(marked_text(9 + number), source=str(number)) for number in range(20)]
    list(make(model, 30).chunk(documents))
    assert [len(call) for call in model.asked] == [sum(8 + number for number in range(20))]
    assert model.options[0]["labels"] == ("1", "2")


def test_by_chunk_one_boundary_of_every_document_is_asked_at_a_time() -> None:
    model = ScriptedModel(answer=answers([1.0] * 9))
    documents = [Document(marked_text(count), source=str(count)) for count in (9, 10, 11)]
    list(make(ScriptedModel(), 30, variant="chunk").chunk(documents))
    list(make(model, 30, variant="chunk").chunk(documents[:2]))
    assert [len(call) for call in model.asked] == [2] * 8 + [1]


def test_by_chunk_the_left_passage_is_the_chunk_so_far() -> None:
    model = ScriptedModel(answer=answers([0.5, 0.5, -0.5, 0.5]))
    sentences(make(model, variant="chunk", join=False), marked_text(5))
    lefts = [re.findall(r"Mark(\d)", call[0].split("PASSAGE B")[0]) for call in model.asked]
    assert lefts == [["0"], ["0", "1"], ["0", "1", "2"], ["3"]]


def test_by_chunk_the_left_passage_stays_within_the_size() -> None:
    model = ScriptedModel(answer=lambda prompt: (0.0, 1.0))
    sentences(make(model, LIMIT + 12, variant="chunk"), marked_text(40))
    assert max(prompt[0].split("PASSAGE B")[0].count("Mark") for prompt in model.asked) == 3


def test_a_text_that_is_joined_anyway_is_not_asked_about() -> None:
    model = ScriptedModel()
    assert sentences(make(model, LIMIT + 36), marked_text(9)) == [list(range(9))]
    assert sentences(make(model, 400), "One sentence.") == [[]]
    assert model.asked == []


def test_progress_moves_while_asking() -> None:
    seen: list[tuple[str, int, int | None]] = []
    sentences(make(ScriptedModel(), 30, progress=lambda *step: seen.append(step)), marked_text(9))
    assert seen == [("label", 8, 8)]
    seen.clear()
    sentences(make(ScriptedModel(), 30, variant="chunk", progress=lambda *step: seen.append(step)), marked_text(9))
    assert seen == [("margins", done, 8) for done in range(1, 9)]


# Warnings and failures


def test_little_probability_for_both_labels_is_said_once() -> None:
    model = ScriptedModel(answer=lambda prompt: (0.1, 0.3) if "Mark3" in prompt else (0.5, 0.4))
    with pytest.warns(RagkitWarning) as caught:
        list(make(model, 30).chunk([Document(marked_text(9), source=str(number)) for number in range(5)]))
    (message,) = [str(warning.message) for warning in caught]
    assert "for 25% of 40 boundaries scripted gave the two answers less than half" in message
    assert "(least 0.4)" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cut(EXAMPLE)


@pytest.mark.parametrize("variant", ["sentence", "chunk"])
@pytest.mark.parametrize("error", [ModelError, ServerError])
def test_a_document_that_the_model_fails_on_is_reported(error: type[Exception], variant: str) -> None:
    documents = [Document(f"{marked_text(9)} {word} ends.", source=word) for word in ("first", "poison", "last")]
    found = list(make(ScriptedModel(fails_on="poison", error=error), 30, variant=variant).chunk(documents))
    assert [chunked.failure for chunked in found] == [None, "The text is longer than the model's window.", None]
    assert [bool(chunked.chunks) for chunked in found] == [True, False, True]


@pytest.mark.parametrize("variant", ["sentence", "chunk"])
def test_without_a_server_the_run_ends(variant: str) -> None:
    chunker = make(ScriptedModel(down=True, error=ServerError), 30, variant=variant)
    with pytest.raises(ServerError, match="No server answers"):
        sentences(chunker, marked_text(9))


@pytest.mark.parametrize("error", [BudgetExceededError, KeyboardInterrupt])
def test_what_no_other_document_would_survive_ends_the_run(error: type[Exception]) -> None:
    with pytest.raises(error):
        sentences(make(ScriptedModel(fails_on="Mark3", error=error), 30), marked_text(9))


def test_a_model_without_label_probabilities_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="cache language model"):
        sentences(make(CacheLanguageModel(), 30), marked_text(9))


def test_a_probability_that_is_no_number_is_a_failure_not_a_zero() -> None:
    model = ScriptedModel(answer=lambda prompt: (math.nan, 0.5))
    (chunked,) = make(model, 30).chunk([Document(marked_text(9), source="test")])
    assert chunked.chunks == []
    assert chunked.failure == "the model gave a probability that is not a number."


# The contract


@pytest.mark.parametrize("variant", ["sentence", "chunk"])
def test_both_variants_pass_the_kit(variant: Any, tokenizer: HfTokenizer) -> None:
    chunker = MarginSamplingChunker(tokenizer, ScriptedModel(), 40, variant=variant)
    check_chunker(chunker, tokenizer=tokenizer, limit=40)


@settings(suppress_health_check=list(HealthCheck), max_examples=EXAMPLES)
@given(
    documents=st.lists(documents_strategy(), max_size=3),
    size=st.integers(16, 64),
    variant=st.sampled_from(["sentence", "chunk"]),
    join=st.booleans(),
)
def test_random_documents(
    tokenizer: HfTokenizer, documents: list[Document], size: int, variant: Any, join: bool
) -> None:
    chunker = MarginSamplingChunker(tokenizer, ScriptedModel(), size, variant=variant, join=join)
    check_chunker(chunker, documents, tokenizer=tokenizer, limit=size, streaming=False)


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="target is 401; expected 1 to size, 400"):
        make(ScriptedModel(), target=401)
    with pytest.raises(ConfigError, match="join is off"):
        make(ScriptedModel(), target=40, join=False)


def test_the_fingerprint_tells_every_option() -> None:
    other = ScriptedModel()
    other.fingerprint = "scripted-2"
    varied: list[dict[str, Any]] = [{"variant": "chunk"}, {"renormalise": True}, {"swap": True}, {"join": False}]
    varied += [{"target": 100}, {"max_characters": 999}]
    made = [make(ScriptedModel()), make(other), make(ScriptedModel(), 401)]
    made += [make(ScriptedModel(), **options) for options in varied]
    assert len({chunker.fingerprint for chunker in made}) == len(made)
