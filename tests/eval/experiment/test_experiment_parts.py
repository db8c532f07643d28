"""The small parts: places in YAML, the store, the memory of questions, matched lengths."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config import PartConfig, PipelineConfig
from ragkit.errors import ConfigError, StorageError
from ragkit.eval.experiment.chunking import WholeDocuments, chunker_of, evaluation_tokenizer
from ragkit.eval.experiment.code import code_hash
from ragkit.eval.experiment.lines import read_yaml
from ragkit.eval.experiment.matched import nearest
from ragkit.eval.experiment.questions import QuestionMemory
from ragkit.eval.experiment.resampling import intervals
from ragkit.eval.experiment.retrieval import within
from ragkit.eval.experiment.scoring import Judge
from ragkit.eval.experiment.store import Store, key
from ragkit.eval.experiment.systems import System
from ragkit.eval.metrics import parse
from ragkit.eval.statistics import compare_all, mean_interval
from ragkit.index.where import matches
from ragkit.models.hashing import HashingEmbedder
from ragkit.models.words import WordTokenizer
from ragkit.schema import Document
from ragkit.testing.chunker import check_chunker


def test_places_have_the_lines_of_the_file(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("# a comment\na:\n  - b: 1\n    c: {d: x}\n  - [y,\n     z]\n")
    content, lines = read_yaml(path)
    assert content == {"a": [{"b": 1, "c": {"d": "x"}}, ["y", "z"]]}
    assert lines.where(("a", 0, "c", "d")) == f"{path}:4"
    assert lines.where(("a", 1, 1)) == f"{path}:6"
    assert lines.where(("a", 0, "nothing", "here")) == f"{path}:3"
    assert lines.named(("a",), "there is no 'z'") == f"{path}:6"
    assert lines.named(("a", 0), "there is no 'z'") == f"{path}:3"


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40), st.text(max_size=9)
)
def test_a_scope_finds_exactly_its_document(scope: str, other: str):
    assert matches(within(scope), {"doc_id": scope})
    assert matches(within(scope), {"doc_id": other}) == (scope == other)


def test_the_store_gives_back_what_was_put(tmp_path: Path):
    names = [key("test", number=number) for number in range(1200)]
    with Store(tmp_path / "new" / "store.sqlite") as store:
        for number, name in enumerate(names):
            store.put(name, {"number": number, "text": "日本"})
        assert store.get(names[:3]) == {name: {"number": n, "text": "日本"} for n, name in enumerate(names[:3])}
    with Store(tmp_path / "new" / "store.sqlite") as store:
        assert len(store.get([*names, key("test", number=-1)])) == 1200


def test_a_damaged_value_is_as_if_absent(tmp_path: Path):
    path, name = tmp_path / "store.sqlite", key("test", a=1)
    with Store(path) as store:
        store.put(name, [1, 2, 3])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE results SET value = substr(value, 1, length(value) - 1)")
    connection.commit()
    connection.close()
    with Store(path) as store:
        assert store.get([name]) == {}
        store.put(name, [4])
        store.flush()
        assert store.get([name]) == {name: [4]}


def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--work"):
        Store(tmp_path / "file" / "store.sqlite")
    (tmp_path / "text.sqlite").write_text("this is no database, but long enough to be read as one" * 40)
    with pytest.raises(StorageError, match="--work"):
        Store(tmp_path / "text.sqlite")


def test_questions_are_embedded_once():
    calls = []

    class Counting(HashingEmbedder):
        def embed_queries(self, texts):
            calls.append(list(texts))
            return super().embed_queries(texts)

    memory = QuestionMemory(Counting())
    both = memory.embed_queries(["a cat", "a dog", "a cat"])
    assert calls == [["a cat", "a dog"]]
    assert np.array_equal(memory.embed_queries(["a dog"])[0], both[1])
    assert np.array_equal(both, HashingEmbedder().embed_queries(["a cat", "a dog", "a cat"]))
    assert len(calls) == 1
    assert memory.embed_queries([]).shape == (0, 384)


def test_whole_documents_keep_the_contract_of_chunkers():
    check_chunker(WholeDocuments())


def test_a_peer_needs_a_tokenizer_of_a_model():
    system = System("x", PipelineConfig(), "x", peer=PartConfig(name="semchunk", options={"size": 9}))
    with pytest.raises(ConfigError, match="needs a tokenizer of a model"):
        chunker_of(system, HashingEmbedder())


def test_the_evaluation_tokenizer_is_fixed():
    assert evaluation_tokenizer("words").count(["two words"]) == WordTokenizer().count(["two words"])


@given(st.integers(1, 400), st.floats(0.3, 1.0), st.integers(1, 500))
def test_the_nearest_size_is_found_by_bisection(wanted: int, share: float, ceiling: int):
    calls = []

    def mean_at(size: int) -> float:
        calls.append(size)
        return min(max(1.0, size * share), float(ceiling))

    found = nearest(mean_at, wanted)
    assert found.mean_tokens == mean_at(found.size)
    best = min(abs(min(max(1.0, size * share), float(ceiling)) - wanted) for size in range(1, 4 * wanted + 2))
    assert abs(found.mean_tokens - wanted) <= max(best, 0.01 * wanted) + 1e-9
    assert len(calls) <= 2 * wanted.bit_length() + 6


def test_a_change_of_code_changes_its_hash():
    assert code_hash("retrievers") != code_hash("selectors")
    assert code_hash() == code_hash()


def test_blank_documents_have_no_chunk():
    (chunked,) = WholeDocuments().chunk([Document(" \n", source="s")])
    assert list(chunked.chunks) == []


@pytest.mark.parametrize("clusters", [None, [str(place % 25) for place in range(60)], ["a"] * 30 + ["b"] * 30])
def test_intervals_in_one_go_are_those_one_by_one(clusters):
    columns = np.random.default_rng(3).random((60, 5)) - 0.4
    columns[:, 3] = 0.0
    found = intervals(columns, clusters, resamples=300, seed=7)
    for column, interval in zip(columns.T, found, strict=True):
        expected = mean_interval(column, clusters, resamples=300, seed=7)
        assert (interval.estimate, interval.low, interval.high) == pytest.approx(
            (expected.estimate, expected.low, expected.high), abs=1e-12
        )
        assert (interval.units, interval.over) == (expected.units, expected.over)


@pytest.mark.parametrize("documents", [25, 3])
def test_comparisons_in_one_go_are_those_one_by_one(documents: int):
    chance = np.random.default_rng(4)
    scores = {system: {"Recall@3": chance.random(60).tolist(), "RR@5": chance.random(60).tolist()} for system in "abc"}
    scores["c"]["RR@5"] = (np.array(scores["b"]["RR@5"]) + 0.3).tolist()
    clusters = [str(place % documents) for place in range(60)]
    measures = [parse("Recall@3"), parse("RR@5")]
    means, found = Judge(seed=5, resamples=300).judged(scores, measures, "b", clusters)
    for measure in ("Recall@3", "RR@5"):
        given_scores = {system: values[measure] for system, values in scores.items()}
        expected = compare_all(given_scores, clusters, baseline="b", resamples=300, seed=5)
        ours = [item for item in found if item.measure == measure]
        for one, other in zip(ours, expected, strict=True):
            made = other.comparison
            assert (one.system, one.winner) == (other.a, other.winner)
            assert (one.difference, one.low, one.high, one.p_value, one.p_holm, one.detectable) == pytest.approx(
                (
                    made.difference,
                    made.interval.low,
                    made.interval.high,
                    made.p_value,
                    made.adjusted_p_value,
                    made.detectable,
                )
            )
            assert (one.clustered is None) == (made.clustered is None)
        for system, values in given_scores.items():
            expected_mean = mean_interval(values, resamples=300, seed=5)
            assert means[measure][system] == pytest.approx(
                (expected_mean.estimate, expected_mean.low, expected_mean.high)
            )
    assert next(item.winner for item in found if (item.measure, item.system) == ("RR@5", "c")) == "c"
