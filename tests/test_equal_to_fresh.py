"""After any sequence of additions, changes and deletions, results equal those of an index built from scratch."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.pipeline import Pipeline
from tests.small_files import HASHING, change, text

QUESTIONS = ["the harbour in winter", "copper", "falcon timber glacier", "of the", "nothing like it"]


def found(pipeline: Pipeline) -> list[object]:
    return [
        [(hit.rank, round(hit.score, 5), hit.chunk_id, hit.source, hit.chunk.start, hit.chunk.text) for hit in hits]
        for question in QUESTIONS
        for retriever in ("lexical", "dense", "hybrid")
        for hits in [pipeline.retrieve(question, 7, retriever=retriever)]
    ]


@settings(max_examples=8)
@given(seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_results_equal_those_of_a_fresh_index(tmp_path_factory: pytest.TempPathFactory, seeds: list[int]) -> None:
    folder = tmp_path_factory.mktemp("equal")
    documents = folder / "documents"
    with Pipeline(folder / "grown", HASHING) as grown, Pipeline(folder / "fresh", HASHING) as fresh:
        for seed in seeds:
            change(documents, seed)
            grown.index([documents])
        report = fresh.index([documents])
        assert (report.generation, report.updated, report.removed) == (1, 0, 0)
        assert found(grown) == found(fresh)
        assert grown.verify().problems == ()


def test_a_second_run_changes_nothing_and_embeds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(tmp_path / "documents", 3)
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        first = pipeline.index([tmp_path / "documents"])
    assert first.added == first.documents > 1
    with Pipeline(tmp_path / "index") as pipeline:
        monkeypatch.setattr(type(pipeline.embedder), "embed_chunks", None)
        again = pipeline.index([tmp_path / "documents"])
    assert (again.unchanged, again.added, again.updated, again.removed) == (first.documents, 0, 0, 0)
    assert again.generation == first.generation == 1


def test_a_changed_file_is_one_update_and_a_deleted_one_goes(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    change(documents, 3)
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        before = pipeline.index([documents])
        (documents / "always.txt").write_text(text(2))
        next(documents.glob("note*")).unlink()
        after = pipeline.index([documents])
        assert (after.added, after.updated, after.removed) == (0, 1, 1)
        assert after.documents == before.documents - 1
        assert after.generation == 2


def test_other_sources_stay(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_text(text(1))
    (tmp_path / "b.txt").write_text(text(2))
    with Pipeline(tmp_path / "index", HASHING) as pipeline:
        pipeline.index([tmp_path / "a"])
        assert pipeline.index([tmp_path / "b.txt"]).documents == 2
        assert pipeline.remove(str((tmp_path / "b.txt").resolve())).removed == 1
        assert {hit.source for hit in pipeline.retrieve("harbour", 10)} == {str((tmp_path / "a/one.txt").resolve())}
