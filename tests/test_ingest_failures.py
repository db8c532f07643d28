"""Documents that cannot be cut: reported, kept as they were indexed before, tried again; the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ragkit import Document, Pipeline
from ragkit.errors import ContractError
from ragkit.protocols import Chunker
from ragkit.schema import Chunked
from tests.small_files import HASHING

POISON = "poison"


class Failing:
    """A chunker that fails on documents with a certain word, as a model may."""

    def __init__(self, chunker: Chunker, word: str = POISON) -> None:
        self.chunker, self.word = chunker, word
        self.name, self.fingerprint, self.gaps = chunker.name, chunker.fingerprint, chunker.gaps

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        for chunked in self.chunker.chunk(documents):
            if self.word in chunked.document.text:
                yield Chunked(chunked.document, [], "the model's window is full.")
            else:
                yield chunked


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Pipeline]:
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        pipeline.chunker = Failing(pipeline.chunker)
        yield pipeline


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    documents = tmp_path / "documents"
    documents.mkdir()
    for name in ("a", "b", "c"):
        (documents / f"{name}.txt").write_text(f"The harbour of {name} froze in winter.")
    return documents


def healed(pipeline: Pipeline) -> Pipeline:
    pipeline.chunker = pipeline.chunker.chunker  # type: ignore[attr-defined]  # Failing
    return pipeline


def texts(pipeline: Pipeline) -> set[str]:
    return {hit.chunk.text for hit in pipeline.retrieve("harbour", 20, retriever="lexical")}


def test_a_document_that_cannot_be_cut_is_reported_and_the_rest_is_indexed(opened: Pipeline, folder: Path) -> None:
    (folder / "b.txt").write_text("The poison harbour.")
    report = opened.index([folder])
    assert [(Path(failure.source).name, failure.reason) for failure in report.failed] == [
        ("b.txt", "the model's window is full.")
    ]
    assert (report.documents, report.added, report.updated, report.removed) == (2, 2, 0, 0)
    again = opened.index([folder])
    assert (len(again.failed), again.unchanged, again.generation) == (1, 2, report.generation)
    whole = healed(opened).index([folder])
    assert (whole.failed, whole.added, whole.documents) == ((), 1, 3)
    assert whole.unchanged == 2


def test_the_last_version_stays_until_the_new_one_is_stored(opened: Pipeline, folder: Path) -> None:
    opened.index([folder])
    (folder / "b.txt").write_text("The poison harbour.")
    (folder / "c.txt").write_text("Another harbour of c.")
    report = opened.index([folder])
    assert (len(report.failed), report.updated, report.removed, report.documents) == (1, 1, 0, 3)
    assert texts(opened) == {
        *("The harbour of a froze in winter.", "The harbour of b froze in winter.", "Another harbour of c.")
    }
    assert opened.verify().problems == ()
    again = healed(opened).index([folder])
    assert (again.failed, again.updated, again.documents) == ((), 1, 3)
    assert "The poison harbour." in texts(opened)
    assert "The harbour of b froze in winter." not in texts(opened)


def write(path: Path, **records: str) -> None:
    path.write_text("\n".join(json.dumps({"doc_id": key, "text": text}) for key, text in records.items()))


def test_records_of_one_file_fail_one_by_one(opened: Pipeline, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    write(corpus, one="harbour one", two="harbour two", three="harbour three", four="harbour four")
    opened.index([corpus])
    write(corpus, one="harbour one", two="poison harbour two", three="harbour three anew")
    report = opened.index([corpus])
    assert [failure.reason for failure in report.failed] == ["document 'two': the model's window is full."]
    assert (report.updated, report.unchanged, report.removed, report.documents) == (1, 1, 1, 3)
    assert texts(opened) == {"harbour one", "harbour two", "harbour three anew"}
    write(corpus, one="harbour one", five="poison harbour five")
    report = opened.index([corpus])
    assert (len(report.failed), report.removed, report.documents) == (1, 0, 3)  # "five" may be what "two" has become
    again = healed(opened).index([corpus])
    assert (again.failed, again.documents) == ((), 2)
    assert texts(opened) == {"harbour one", "poison harbour five"}


def test_documents_given_as_values_stay_too(opened: Pipeline) -> None:
    opened.add([Document("harbour one", "memory", "a"), Document("harbour two", "memory", "b")])
    report = opened.add([Document("poison harbour", "memory", "a"), Document("harbour three", "memory", "b")])
    assert [(failure.source, failure.reason) for failure in report.failed] == [
        ("memory", "document 'a': the model's window is full.")
    ]
    assert (report.updated, report.documents) == (1, 2)
    assert texts(opened) == {"harbour one", "harbour three"}


def test_a_run_in_which_all_fail_changes_nothing(opened: Pipeline, folder: Path) -> None:
    before = opened.index([folder])
    for path in folder.iterdir():
        path.write_text(f"The poison harbour of {path.stem}.")
    report = opened.index([folder])
    assert (len(report.failed), report.documents, report.generation) == (3, 3, before.generation)


def test_a_file_that_is_read_in_many_batches_is_finished_once(
    opened: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.ingest._BATCH_CHUNKS", 2)
    corpus = tmp_path / "corpus.jsonl"
    write(corpus, **{f"d{number}": f"harbour {number}" for number in range(9)})
    assert opened.index([corpus]).added == 9
    write(corpus, **{f"d{number}": f"{POISON if number == 4 else ''} harbour {number} anew" for number in range(1, 9)})
    report = opened.index([corpus])
    assert (report.updated, report.removed, len(report.failed), report.documents) == (7, 1, 1, 8)
    assert "harbour 4" in texts(opened)
    assert healed(opened).index([corpus]).updated == 1


class Losing(Failing):
    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        return (chunked for chunked in self.chunker.chunk(documents) if self.word not in chunked.document.text)


@pytest.mark.parametrize(("lost", "message"), [("b", "out of order"), ("c", "lost a document")])
def test_a_chunker_that_loses_a_document_is_caught(tmp_path: Path, folder: Path, lost: str, message: str) -> None:
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        pipeline.chunker = Losing(pipeline.chunker, f"harbour of {lost} ")
        with pytest.raises(ContractError, match=message):
            pipeline.index([folder])
        pipeline.chunker = pipeline.chunker.chunker  # type: ignore[attr-defined]  # Losing
        assert pipeline.index([folder]).documents == 3
