"""Tuning: halving, the front, questions of one's own and generated ones, and the whole search."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config import PipelineConfig
from ragkit.errors import LoadError, SchemaError, UnsupportedError, UsageError
from ragkit.eval.experiment import tuning
from ragkit.eval.experiment.advice import as_markdown, as_yaml
from ragkit.eval.experiment.generated import generated_questions, unfit
from ragkit.eval.experiment.given import given_questions
from ragkit.eval.experiment.halving import Round, halve
from ragkit.eval.experiment.locating import places
from ragkit.eval.experiment.pareto import Point, front
from ragkit.eval.experiment.specification import GridSpec
from ragkit.eval.experiment.store import Store
from ragkit.eval.experiment.tuning import documents_of, tune
from ragkit.eval.experiment.workshop import Workshop
from ragkit.models.hashing import HashingEmbedder
from ragkit.schema import Document

from .conftest import ANIMALS, HABITS, passages

SPACE = GridSpec(chunkers=["recursive"], sizes=[15, 200], retrievers=["lexical", "dense"], selectors=["none"])


def table(means: dict[str, float], total: int, noise: float = 0.1) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(1)
    return {name: mean + noise * chance.standard_normal(total) for name, mean in means.items()}


def test_halving_finds_the_best_and_asks_the_poor_little():
    means = {f"s{number}": number / 16 for number in range(16)}
    values, asked = table(means, 160), {}

    def score(name: str, count: int):
        asked[name] = max(asked.get(name, 0), count)
        return values[name][:count]

    rounds = halve(list(means), score, 160)
    assert next(iter(rounds[-1].means)) == "s15"
    assert asked["s0"] == 20
    assert sum(asked.values()) < 16 * 160 / 3
    assert [found.questions for found in rounds] == [20 * 2**place for place in range(len(rounds))]
    assert rounds[0].fell["s0"].startswith("worse than s15 by ")


def test_halving_stops_early_when_one_is_shown_to_be_best():
    values = table({"good": 0.9, "bad": 0.1, "poor": 0.2, "weak": 0.3}, 1000)
    rounds = halve(list(values), lambda name, count: values[name][:count], 1000)
    assert len(rounds) == 1
    assert set(rounds[0].fell) == {"bad", "poor", "weak"}


def test_halving_keeps_to_the_time():
    values, calls = table({f"s{number}": 0.5 for number in range(8)}, 100), []

    def score(name: str, count: int):
        calls.append(name)
        return values[name][:count]

    rounds = halve(list(values), score, 100, spent=lambda: len(calls) >= 3)
    assert calls == ["s0", "s1", "s2"]
    assert len(rounds) == 1
    assert rounds[0].fell["s7"] == "not tried: the time was spent"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=20))
def test_nothing_on_the_front_is_beaten(points):
    given_points = [Point(str(place), 1, float(a), float(b)) for place, (a, b) in enumerate(points)]
    found = front(given_points)
    for point in given_points:
        assert any(kept.tokens <= point.tokens and kept.quality >= point.quality for kept in found)
    for one in found:
        for other in found:
            beaten = other.tokens <= one.tokens and other.quality >= one.quality and other != one
            assert not beaten


@given(st.text("ab \n", max_size=30), st.text("ab ", min_size=1, max_size=4))
def test_places_are_verbatim_but_for_white_space(text, excerpt):
    found = places(text, excerpt)
    for start, end in found:
        assert text[start:end].split() == excerpt.split() or text[start:end] == excerpt.strip()
    if excerpt.strip() and excerpt.strip() in text:
        assert found[0][0] == text.index(excerpt.strip())


DOCUMENTS = {
    "a": Document("The kiln is hot.\nIt was  built in 1820.", source="/x/a.md", doc_id="a"),
    "b": Document("The kiln is hot. Ann owns it.", source="/x/b.md", doc_id="b"),
}


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_own_questions_are_placed_in_the_documents(tmp_path):
    path = written(
        tmp_path,
        {"question": "When?", "evidence": ["It was built in 1820."]},
        {"question": "How hot?", "evidence": [{"text": "The kiln is hot.", "source": "b.md"}, "Ann owns it."]},
        {"question": "Who?", "answers": ["Ann"], "query_id": "who"},
    )
    first, second, third = given_questions(path, DOCUMENTS)
    assert [(span.doc_id, span.start, span.end) for span in first.evidence] == [("a", 17, 39)]
    assert [span.doc_id for span in second.evidence] == ["b", "b"]
    assert third.query_id == "who"
    assert third.evidence[0].start == DOCUMENTS["b"].text.index("Ann")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"question": "How?", "evidence": ["The kiln is cold."]}, "is in no document"),
        ({"question": "How?", "evidence": ["The kiln is hot."]}, "stands in 2 places"),
        ({"question": "How?"}, "neither evidence nor answers"),
        ({"question": "How?", "evidnce": []}, "unknown field 'evidnce'"),
        ({"evidence": ["x"]}, "'question' is missing"),
        ("{", "JSON"),
    ],
)
def test_an_own_question_that_cannot_be_placed_is_named(tmp_path, line, message):
    path = written(tmp_path, {"question": "Who?", "answers": ["Ann"]}, line)
    with pytest.raises(LoadError) as raised:
        given_questions(path, DOCUMENTS)
    assert f"{path}, line 2: " in raised.value.message
    assert message in raised.value.message


def test_a_file_without_questions_is_refused(tmp_path):
    with pytest.raises(LoadError, match="holds no question"):
        given_questions(written(tmp_path, ""), DOCUMENTS)


class Parrot:
    """A language model without records that asks after the rarest word of the fact, or replies what it is told to."""

    name = fingerprint = "parrot"
    window = 1000

    def __init__(self, reply: str = "") -> None:
        self.reply, self.calls = reply, 0

    def count(self, texts):
        return [len(text.split()) for text in texts]

    def generate(self, prompt, *, max_tokens, meter=None):
        self.calls += 1
        fact = prompt[0].text.split("FACT: ")[1].split("\n")[0]
        return self.reply or f"Question: Why is the {' '.join(fact.split()[1:4])} so?"

    def generate_records(self, prompts, schema, *, max_tokens, meter=None):
        raise UnsupportedError("It has no records.")


class Scribe(Parrot):
    """A language model that writes records: a question about the fact, and `quote` of it as evidence."""

    name = fingerprint = "scribe"

    def __init__(self, quote: Callable[[str], str] = lambda fact: fact, breaks: int = -1) -> None:
        super().__init__()
        self.quote, self.breaks, self.batches = quote, breaks, []

    def generate_records(self, prompts, schema, *, max_tokens, meter=None):
        self.batches.append(len(prompts))
        found = []
        for prompt in prompts:
            fact = prompt[0].text.split("about this: ")[1].split("\n")[0]
            if self.breaks >= 0 and self.breaks == sum(map(ord, fact)) % 2:
                raise SchemaError("It was cut off.", reply="{")
            question = f"Why is the {' '.join(fact.split()[1:4])} so?"
            found.append(schema(question=question, evidence=self.quote(fact), kind="why"))
        return found


def valley() -> dict[str, Document]:
    return {
        animal: Document("\n\n".join(passages(animal)), source=f"{animal}.txt", doc_id=animal) for animal in ANIMALS
    }


def test_generated_questions_have_verbatim_evidence_and_are_asked_once(tmp_path):
    model = Parrot()
    with Store(tmp_path / "s.sqlite") as store:
        made = generated_questions(valley(), 12, model, HashingEmbedder(), store=store)
        calls = model.calls
        again = generated_questions(valley(), 12, model, HashingEmbedder(), store=store)
    assert model.calls == calls
    assert again == made
    assert made.queries
    assert made.tried == len(made.queries) + sum(made.rejected.values())
    assert 0 < made.overlap < 1
    for query in made.queries:
        (span,) = query.evidence
        assert valley()[span.doc_id].text[span.start : span.end] == query.answers[0]
        assert not query.question.startswith("Question")
    assert len({query.question for query in made.queries}) == len(made.queries)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("The heron.", "is no short question"),
        ("What does the passage say?", "speaks of the text"),
        ("What does the FACT say?", "speaks of the text"),
        ("Who is it? And where?", "is more than one question"),
        ("Completely unrelated zymurgy quiz?", "is not about its evidence"),
    ],
)
def test_questions_that_cannot_stand_are_counted_by_reason(tmp_path, reply, reason):
    with Store(tmp_path / "s.sqlite") as store:
        made = generated_questions(valley(), 3, Parrot(reply), HashingEmbedder(), store=store)
    assert made.queries == []
    assert made.rejected == {reason: 12}


def test_records_bring_their_evidence_in_bulk(tmp_path):
    model = Scribe(lambda fact: "  ".join(fact.split(" ")[:-1]))  # white space may differ
    with Store(tmp_path / "s.sqlite") as store:
        made = generated_questions(valley(), 12, model, HashingEmbedder(), store=store)
        batches = list(model.batches)
        again = generated_questions(valley(), 12, model, HashingEmbedder(), store=store)
    assert model.batches == batches
    assert again == made
    assert batches[0] == 12
    assert made.queries
    assert made.kinds == {"why": len(made.queries)}
    assert made.survival == len(made.queries) / made.tried
    for query in made.queries:
        (span,) = query.evidence
        assert valley()[span.doc_id].text[span.start : span.end] == query.answers[0]
        assert not query.answers[0].endswith(".")
        assert query.meta == {"kind": "why"}


@pytest.mark.parametrize(
    ("quote", "reason"),
    [
        (lambda fact: fact.replace("The", "A").replace("Natural", "Un"), "evidence is not verbatim"),
        (lambda _: "Naturalists have written", "evidence is in several places"),
    ],
)
def test_evidence_that_is_not_in_one_place_of_the_passage_is_refused(tmp_path, quote, reason):
    model = Scribe(quote)
    with Store(tmp_path / "s.sqlite") as store:
        made = generated_questions(valley(), 12, model, HashingEmbedder(), store=store)
    assert made.rejected[reason] >= 3
    if made.rejected[reason] == 12:  # the whole first batch: from then on it was asked in plain text
        assert model.batches == [12]
        assert model.calls > 0
    texts = [valley()[query.evidence[0].doc_id].text for query in made.queries]
    assert all(query.answers[0] in text for query, text in zip(made.queries, texts, strict=True))


def test_a_model_that_copies_nothing_right_is_asked_in_plain_text(tmp_path):
    model = Scribe(lambda _: "who built the old bridge")
    with Store(tmp_path / "s.sqlite") as store:
        made = generated_questions(valley(), 12, model, HashingEmbedder(), store=store)
    assert model.batches == [12]
    assert made.rejected["evidence is not verbatim"] == 12
    assert 0 < model.calls <= made.tried - 12
    assert made.queries
    assert made.kinds == {}


def test_a_record_that_is_cut_off_costs_no_other(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        made = generated_questions(valley(), 12, Scribe(breaks=1), HashingEmbedder(), store=store)
    assert made.rejected["is no record"] > 0
    assert made.queries
    assert made.tried == len(made.queries) + sum(made.rejected.values())


def test_a_question_that_copies_its_evidence_is_refused():
    fact = "The old bridge was built by Ann Miller in 1820."
    assert unfit("The old bridge was built by whom?", fact) == "copies its evidence"
    assert unfit("Who built the old bridge?", fact) == ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for animal, document in valley().items():
        (folder / f"{animal}.txt").write_text(document.text)
    return folder


def own_questions(folder: Path, tmp_path: Path) -> Path:
    lines = [
        {"question": f"When is it that the {animal} {habit}?", "evidence": [f"The {animal} {habit} in season {place}."]}
        for animal in ANIMALS
        for place, habit in enumerate(HABITS)
    ]
    return written(tmp_path, *lines)


def test_tune_finds_settings_and_judges_them_on_other_questions(folder, tmp_path):
    base = {"embedder": {"name": "hashing"}}
    documents, failed = documents_of([folder], PipelineConfig())
    queries = given_questions(own_questions(folder, tmp_path), documents)
    with Workshop(tmp_path / "work", "words") as workshop:
        found = tune(workshop, documents, queries, base=base, space=SPACE, budget=40)
    assert failed == []
    assert (found.searched_on, found.held_out) == (20, 20)
    assert found.system.startswith("recursive-15/")
    assert found.default is not None
    assert found.default.baseline == "recursive-200/hybrid"
    mean, low, high = found.quality
    assert low <= mean <= high
    assert found.mean_tokens <= 60
    config = PipelineConfig.from_mapping(yaml.safe_load(as_yaml(found)))
    assert config.chunker.options == {"size": 15}
    assert config.embedder.name == "hashing"
    assert config.selector.options["k"] == found.k
    assert "held" not in as_markdown(found)
    assert "questions that the search did not use" in as_markdown(found)


def test_what_is_worse_than_the_defaults_is_not_recommended(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "halve", lambda names, *_, **__: [Round(20, {"recursive-200/lexical": 1.0})])
    worse = lambda self, system, queries: [float(system.name.endswith("hybrid"))] * len(queries)  # noqa: E731
    monkeypatch.setattr(tuning.Search, "values", worse)
    documents, _ = documents_of([folder], PipelineConfig())
    queries = given_questions(own_questions(folder, tmp_path), documents)
    with Workshop(tmp_path / "work", "words") as workshop:
        found = tune(workshop, documents, queries, base={"embedder": "hashing"}, space=SPACE, budget=40)
    assert found.system == "recursive-200/hybrid"
    assert found.default is None
    assert any("the defaults are kept" in note for note in found.notes)


def test_too_few_questions_are_refused(tmp_path):
    with Workshop(tmp_path / "work", "words") as workshop, pytest.raises(UsageError, match="at least 10"):
        tune(workshop, valley(), [], base={"embedder": "hashing"})


def test_no_documents_are_named(tmp_path):
    with pytest.raises(LoadError, match="no document"):
        documents_of([tmp_path], PipelineConfig())
