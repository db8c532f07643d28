"""The pipeline's promises about configuration, stores, repair and answers, with small embeddings."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from ragkit import Document, Pipeline, PipelineConfig
from ragkit.errors import (
    ContractError,
    FilterError,
    IndexMismatchError,
    LoadError,
    MissingIndexError,
    UnknownPartError,
    UsageError,
)
from tests.small_files import HASHING, change


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    change(tmp_path / "documents", 5)
    return tmp_path / "documents"


def test_asking_without_an_index_creates_nothing(tmp_path: Path) -> None:
    with Pipeline(tmp_path / "none") as pipeline, pytest.raises(MissingIndexError):
        pipeline.retrieve("anything")
    assert not (tmp_path / "none").exists()


def test_the_index_remembers_its_configuration(tmp_path: Path, documents: Path) -> None:
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        pipeline.index([documents])
    with Pipeline(tmp_path / "index") as pipeline:
        assert pipeline.config == HASHING


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("chunker", {"name": "recursive", "size": 25}),
        ("embedder", {"name": "hashing", "dimension": 32}),
        ("language", "none"),
    ],
)
def test_another_configuration_is_refused_until_rebuilt(
    tmp_path: Path, documents: Path, part: str, other: object
) -> None:
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        first = pipeline.index([documents])
    changed = PipelineConfig.from_mapping({**HASHING.model_dump(), part: other})
    with Pipeline(tmp_path / "index", changed) as pipeline:
        with pytest.raises(IndexMismatchError, match=part) as caught:
            pipeline.index([documents])
        assert "--rebuild" in caught.value.hint
        report = pipeline.index([documents], rebuild=True)
        assert (report.added, report.generation) == (first.documents, 2)
        assert pipeline.verify().problems == ()
        assert pipeline.retrieve("harbour", 3)


def test_another_embedder_cannot_search_the_index(tmp_path: Path, documents: Path) -> None:
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        pipeline.index([documents])
    other = PipelineConfig.from_mapping({**HASHING.model_dump(), "embedder": {"name": "hashing", "dimension": 32}})
    with Pipeline(tmp_path / "index", other) as pipeline:
        with pytest.raises(IndexMismatchError, match="fingerprint"):
            pipeline.retrieve("harbour")
        assert pipeline.retrieve("harbour", retriever="lexical")


def test_the_same_configuration_in_other_words_is_the_same(tmp_path: Path, documents: Path) -> None:
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        pipeline.index([documents])
    words = {"name": "recursive", "size": "24"}
    with Pipeline(tmp_path / "index", PipelineConfig.from_mapping({**HASHING.model_dump(), "chunker": words})) as same:
        assert same.index([documents]).added == 0


def test_wrong_use_is_told(tmp_path: Path, documents: Path) -> None:
    (tmp_path / "empty").mkdir()
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        with pytest.raises(UsageError, match="No source"):
            pipeline.index([])
        with pytest.raises(UsageError, match="missing"):
            pipeline.index([tmp_path / "missing"])
        with pytest.raises(LoadError, match="no document"):
            pipeline.index([tmp_path / "empty"])
        pipeline.index([documents])
        with pytest.raises(UsageError, match="at least 1"):
            pipeline.retrieve("harbour", 0)
        with pytest.raises(UnknownPartError, match="hybird") as caught:
            pipeline.retrieve("harbour", retriever="hybird")
        assert "'hybrid'" in caught.value.hint
        with pytest.raises(FilterError):
            pipeline.retrieve("harbour", where="page <")


def test_a_folder_that_lost_all_its_files_does_not_empty_the_index(tmp_path: Path, documents: Path) -> None:
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        before = pipeline.index([documents])
        for path in documents.iterdir():
            path.unlink()
        with pytest.raises(LoadError):
            pipeline.index([documents])
        assert pipeline.snapshot.size == before.chunks


def test_a_file_that_can_no_longer_be_read_keeps_its_last_version(tmp_path: Path, documents: Path) -> None:
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        before = pipeline.index([documents])
        (documents / "always.txt").write_bytes(b"\0\1\2\3" * 100)
        report = pipeline.index([documents])
        assert [Path(failure.source).name for failure in report.failed] == ["always.txt"]
        assert (report.documents, report.removed) == (before.documents, 0)


def test_documents_given_as_values(tmp_path: Path) -> None:
    first = Document("The harbour froze in winter.", "memory:1", "a", {"year": 1912})
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        assert pipeline.add([first, Document("Copper lanterns.", "memory:1", "b", {"year": 1955})]).added == 2
        again = pipeline.add([first, Document("Copper and marble.", "memory:1", "b", {"year": 1956})])
        assert (again.unchanged, again.updated) == (1, 1)
        assert [hit.chunk.doc_id for hit in pipeline.retrieve("copper", where="year > 1950")] == ["b"]
        with pytest.raises(ContractError, match="given twice"):
            pipeline.add([Document("x y", "memory:1", "c"), Document("y z", "memory:1", "c")])
        assert pipeline.snapshot.generation == 2


def test_json_lines_update_record_by_record(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    lines = [{"doc_id": str(number), "text": f"record {number} about copper"} for number in range(5)]
    corpus.write_text("\n".join(map(json.dumps, lines)))
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        assert pipeline.index([corpus]).added == 5
        lines[3]["text"] = "record 3 about marble"
        del lines[0]
        corpus.write_text("\n".join([*map(json.dumps, lines), "{not json"]))
        report = pipeline.index([corpus])
        assert (report.updated, report.removed, report.unchanged, len(report.failed)) == (1, 1, 3, 1)
        assert "line 5" in report.failed[0].source + report.failed[0].reason


def test_repair_reads_damaged_documents_again(tmp_path: Path, documents: Path) -> None:
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        before = pipeline.index([documents])
        with sqlite3.connect(tmp_path / "index" / "ledger.sqlite") as connection:
            connection.execute("UPDATE chunks SET text = 'forged' WHERE row IN (1, 9)")
        assert not pipeline.verify().ok
        report = pipeline.repair()
        assert report.remaining == ()
        assert any("read" in line for line in report.repaired)
        assert pipeline.snapshot.size == before.chunks


@pytest.mark.parametrize("store", [{"name": "chroma"}, {"name": "faiss", "index": "hnsw"}])
def test_every_store_follows_the_ledger(tmp_path: Path, documents: Path, store: dict[str, str]) -> None:
    config = PipelineConfig.from_mapping({**HASHING.model_dump(), "store": store})
    with Pipeline(tmp_path / "index", config) as pipeline, Pipeline(tmp_path / "plain", HASHING) as plain:
        for seed in (5, 6):
            change(documents, seed)
            pipeline.index([documents])
            plain.index([documents])
            for question in ("harbour in winter", "copper marble"):
                stored, exact = (
                    [(hit.chunk_id, round(hit.score, 5)) for hit in each.retrieve(question, 3, retriever="dense")]
                    for each in (pipeline, plain)
                )
                assert stored == exact


def test_progress_rises_to_the_total(tmp_path: Path, documents: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("\n".join(json.dumps({"doc_id": str(n), "text": "copper " * 300}) for n in range(200)))
    calls: list[tuple[str, int, int | None]] = []
    with Pipeline(tmp_path / "index", HASHING, progress=lambda *call: calls.append(call)) as pipeline:
        pipeline.index([documents, corpus])
    done = [call[1] for call in calls]
    assert done == sorted(done)
    assert {call[0] for call in calls} == {"indexing"}
    assert calls[-1][1] == calls[-1][2] == sum(path.stat().st_size for path in [*documents.iterdir(), corpus])


def test_repairing_what_is_not_there_creates_nothing(tmp_path: Path) -> None:
    with Pipeline(tmp_path / "none") as pipeline, pytest.raises(MissingIndexError):
        pipeline.repair()
    assert not (tmp_path / "none").exists()


def test_filters_find_metadata_in_any_script(tmp_path: Path) -> None:
    where = "größe > 3 and 城市 = '北京'"
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        pipeline.add(
            [Document("Copper lanterns.", "m", "a", {"größe": 7, "城市": "北京"}), Document("Copper.", "m", "b")]
        )
        assert [hit.chunk.doc_id for hit in pipeline.retrieve("copper", where=where)] == ["a"]
