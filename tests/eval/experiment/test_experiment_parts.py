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
from ragkit.eval.experiment.retrieval import within
from ragkit.eval.experiment.store import Store, key
from ragkit.eval.experiment.systems import System
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
