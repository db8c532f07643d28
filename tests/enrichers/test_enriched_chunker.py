"""Enrichers behind a chunker: one part with one fingerprint, from the configuration to the index and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ragkit import parts
from ragkit.config import PipelineConfig
from ragkit.enriching import EnrichedChunker
from ragkit.errors import ConfigError, ContractError, IndexMismatchError, UnknownPartError
from ragkit.pipeline import Pipeline
from ragkit.schema import Chunked
from ragkit.testing import check_chunker

BASE = {"embedder": {"name": "hashing", "dimension": 64}, "chunker": {"name": "sentence", "size": 12}}
SUMMARY = {**BASE, "enrichers": [{"name": "summary", "stages": 1, "verify": False}]}
TEXT = "The harbour lies in the north of the town. It was built of granite. The lantern burns all night there."


class Stamp:
    """An enricher that needs no model."""

    def __init__(self, name: str = "stamp", change=lambda chunked: chunked) -> None:
        self.name, self.fingerprint, self._change = name, f"{name} 1", change

    def enrich(self, batch, progress=None):
        stamped = [
            Chunked(
                chunked.document,
                [replace(chunk, index_text=f"{self.name}\n{chunk.index_text}") for chunk in chunked.chunks],
                chunked.failure,
            )
            for chunked in batch
        ]
        return [self._change(chunked) for chunked in stamped]


@pytest.fixture
def plain():
    config = PipelineConfig.from_mapping(BASE)
    return parts.make_chunker(config, parts.make_embedder(config))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "harbour.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path / "docs"


@pytest.fixture
def model(monkeypatch, scripted):
    """Put a scripted model in the place of every language model that a configuration names."""
    made = scripted(text=lambda prompt: "About the zebra of the lighthouse.")
    monkeypatch.setattr(parts, "language_model", lambda chosen: made)
    return made


def test_it_keeps_the_contract_of_chunkers(plain):
    check_chunker(EnrichedChunker(plain, [Stamp(), Stamp("second")]))


def test_enrichers_run_in_their_order(plain):
    from ragkit.schema import Document

    chunker = EnrichedChunker(plain, [Stamp("first"), Stamp("second")])
    (chunked,) = chunker.chunk([Document(TEXT, source="a.txt")])
    assert all(chunk.index_text == f"second\nfirst\n{chunk.text}" for chunk in chunked.chunks)
    assert chunker.name == "sentence+first+second"


def test_the_fingerprint_is_of_chunker_and_enrichers_in_order(plain):
    made = [[Stamp("a")], [Stamp("b")], [Stamp("a"), Stamp("b")], [Stamp("b"), Stamp("a")], []]
    found = {EnrichedChunker(plain, enrichers).fingerprint for enrichers in made}
    assert len(found | {plain.fingerprint}) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda chunked: Chunked(chunked.document, chunked.chunks[1:]), "changed the chunks"),
        (
            lambda chunked: Chunked(chunked.document, [replace(chunk, text="other") for chunk in chunked.chunks]),
            "changed the chunks",
        ),
        (
            lambda chunked: Chunked(
                chunked.document, [replace(chunk, start=chunk.start + 1) for chunk in chunked.chunks]
            ),
            "changed the chunks",
        ),
        (lambda chunked: Chunked(replace(chunked.document, source="x"), chunked.chunks), "other documents"),
    ],
)
def test_an_enricher_that_changes_more_than_it_may_is_refused(plain, change, message):
    from ragkit.schema import Document

    with pytest.raises(ContractError, match=message):
        list(EnrichedChunker(plain, [Stamp(change=change)]).chunk([Document(TEXT, source="a.txt")]))


def test_a_failed_document_may_lose_its_chunks(plain):
    from ragkit.schema import Document

    stamp = Stamp(change=lambda chunked: Chunked(chunked.document, [], "stamp: broke"))
    (chunked,) = EnrichedChunker(plain, [stamp]).chunk([Document(TEXT, source="a.txt")])
    assert (chunked.chunks, chunked.failure) == ([], "stamp: broke")


def test_what_is_added_is_found_and_what_is_shown_is_the_source(tmp_path, folder, model):
    config = PipelineConfig.from_mapping(SUMMARY)
    with Pipeline(tmp_path / "index", config) as pipeline:
        report = pipeline.index([folder])
        assert report.chunks == 3
        for retriever in ("lexical", "dense"):
            hits = pipeline.retrieve("zebra lighthouse", 3, retriever=retriever)
            assert len(hits) == 3
            assert all(hit.chunk.text == TEXT[hit.chunk.start : hit.chunk.end] for hit in hits)
            assert all(hit.chunk.index_text == f"About the zebra of the lighthouse.\n{hit.chunk.text}" for hit in hits)
        assert len(pipeline.retrieve("harbour", 9, where="summary_status = 'added'")) == 3
        assert pipeline.verify().problems == ()


def test_nothing_is_asked_again_for_an_unchanged_folder(tmp_path, folder, model):
    config = PipelineConfig.from_mapping(SUMMARY)
    for _ in range(2):
        with Pipeline(tmp_path / "index", config) as pipeline:
            pipeline.index([folder])
    assert len(model.asked("text")) == 3


def test_other_enrichers_are_refused_until_rebuilt(tmp_path, folder, model):
    with Pipeline(tmp_path / "index", PipelineConfig.from_mapping(BASE)) as pipeline:
        pipeline.index([folder])
    with Pipeline(tmp_path / "index", PipelineConfig.from_mapping(SUMMARY)) as pipeline:
        with pytest.raises(IndexMismatchError, match=r"'sentence' \(size=12\); .* \+ 'summary' \(stages=1"):
            pipeline.index([folder])
        pipeline.index([folder], rebuild=True)
        assert pipeline.retrieve("zebra", 1, retriever="lexical")


def test_a_document_that_must_be_enriched_and_cannot_be_is_reported(tmp_path, folder, model, broken):
    model.text = lambda prompt: broken if "poison" in prompt else "About the zebra."
    (folder / "bad.txt").write_text("The poison of the north. It was in every well of it.", encoding="utf-8")
    config = PipelineConfig.from_mapping(
        {**BASE, "enrichers": [{"name": "summary", "stages": 1, "verify": False, "required": True}]}
    )
    with Pipeline(tmp_path / "index", config) as pipeline:
        report = pipeline.index([folder])
        assert [(Path(failure.source).name, failure.reason) for failure in report.failed] == [
            ("bad.txt", "summary: the weights are gone.")
        ]
        assert report.documents == 1
        model.text = lambda prompt: "About the zebra."
        assert pipeline.index([folder]).documents == 2  # the next run tries again


def test_the_model_option_names_the_language_model(monkeypatch, scripted):
    asked = []
    monkeypatch.setattr(parts, "language_model", lambda chosen: asked.append(chosen) or scripted())
    options = [{"name": "summary", "model": "http://127.0.0.1:1/v1#big"}, {"name": "rewrite"}]
    config = PipelineConfig.from_mapping({**BASE, "enrichers": options})
    made = parts.make_enrichers(config, parts.make_embedder(config))
    assert [enricher.name for enricher in made] == ["summary", "rewrite"]
    assert [(chosen.name, chosen.options.get("model")) for chosen in asked] == [("served", "big"), ("local", None)]


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"name": "sumary"}, UnknownPartError, "Did you mean 'summary'"),
        ({"name": "summary", "stage": 1}, ConfigError, "Did you mean 'stages'"),
        ({"name": "summary", "stages": 3}, ConfigError, "cannot be 3"),
        ({"name": "rewrite", "mode": "extrct"}, ConfigError, "cannot be 'extrct'"),
        ({"name": "rewrite", "budget": {"token": 1}}, ConfigError, "budget.token"),
    ],
)
def test_wrong_options_are_refused_before_a_model_is_made(option, error, message):
    with pytest.raises(error, match=message):
        parts.check_part("enrichers", PipelineConfig.from_mapping({"enrichers": [option]}).enrichers[0])


def test_a_budget_can_be_given_in_yaml():
    config = PipelineConfig.from_mapping(
        {"enrichers": [{"name": "rewrite", "budget": {"tokens": 5}, "threshold": 0.1}]}
    )
    parts.check_part("enrichers", config.enrichers[0])


def test_the_command_line_names_enrichers(tmp_path):
    from ragkit.cli.settings import Settings, for_chunking

    path = tmp_path / "ragkit.yaml"
    path.write_text("enrichers: [{name: summary, stages: 1}]", encoding="utf-8")
    assert for_chunking(Settings(path)).enrichers[0].options == {"stages": 1}
    both = for_chunking(Settings(path, enrich=("rewrite", "summary"))).enrichers
    assert [(part.name, part.options) for part in both] == [("rewrite", {}), ("summary", {"stages": 1})]
    assert for_chunking(Settings(path, enrich=("none",))).enrichers == []
    with pytest.raises(UnknownPartError):
        for_chunking(Settings(enrich=("sumary",)))


def test_the_command_shows_what_is_searched(folder, model, capfd, tmp_path):
    from ragkit.cli.app import run

    path = tmp_path / "ragkit.yaml"
    path.write_text(f"{SUMMARY}", encoding="utf-8")
    assert run(["chunk", str(folder / "harbour.txt"), "--config", str(path)]) == 0
    assert capfd.readouterr().out.count("searched as: About the zebra of the lighthouse.") == 3
    assert run(["chunk", str(folder / "harbour.txt"), "--config", str(path), "--enrich", "none"]) == 0
    assert "searched as" not in capfd.readouterr().out


def test_a_grid_crosses_enrichers():
    from ragkit.eval.experiment.specification import GridSpec
    from ragkit.eval.experiment.systems import for_whole_documents, grid_systems

    choices = ["none", "summary", ["rewrite", {"name": "summary", "stages": 1}]]
    grid = GridSpec(chunkers=["recursive"], sizes=[30], retrievers=["lexical"], enrichers=choices)
    systems = grid_systems(grid, {"enrichers": ["rewrite"]})
    assert [(system.name, [part.name for part in system.config.enrichers]) for system in systems] == [
        ("recursive-30/lexical", []),
        ("recursive-30+summary/lexical", ["summary"]),
        ("recursive-30+rewrite+summary-stages1/lexical", ["rewrite", "summary"]),
    ]
    assert [system.name for system in grid_systems(grid.model_copy(update={"chunkers": [], "sizes": []}), {})] == [
        *["lexical", "summary/lexical"],
        "rewrite+summary-stages1/lexical",
    ]
    assert len(for_whole_documents(systems)) == 1  # nothing is missing in a whole document
    with pytest.raises(ConfigError, match="stages"):
        grid_systems(grid.model_copy(update={"enrichers": [{"name": "summary", "stage": 1}]}), {})


def test_experiments_index_enriched_chunks_and_measure_lengths_of_plain_ones(monkeypatch, scripted):
    from ragkit.eval.experiment.chunking import WholeDocuments, chunker_of, indexing_chunker
    from ragkit.eval.experiment.systems import System

    monkeypatch.setattr(parts, "language_model", lambda chosen: scripted())
    config = PipelineConfig.from_mapping(SUMMARY)
    system, embedder = System("a", config, "a"), parts.make_embedder(config)
    assert isinstance(indexing_chunker(system, embedder), EnrichedChunker)
    assert chunker_of(system, embedder).name == "sentence"
    assert isinstance(indexing_chunker(system, embedder, whole=True), WholeDocuments)
