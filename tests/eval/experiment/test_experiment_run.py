"""Runs: what is computed, what is not computed again, and what an interruption leaves."""

from __future__ import annotations

import pytest

from ragkit.eval.experiment.run import RunOptions, run
from ragkit.index.snapshot import Snapshot
from ragkit.models.embedder import SentenceTransformerEmbedder
from ragkit.models.hashing import HashingEmbedder
from ragkit.retrievers.lexical import LexicalRetriever

from .conftest import timeless


class Counter:
    """Counts calls of a method and may interrupt at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.calls, self.stop_at = 0, 0
        original = getattr(owner, name)

        def counted(*arguments, **options):
            self.calls += 1
            if self.calls == self.stop_at:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)


@pytest.fixture
def embedded(monkeypatch) -> Counter:
    return Counter(monkeypatch, HashingEmbedder, "embed_chunks")


@pytest.fixture
def searched(monkeypatch) -> Counter:
    return Counter(monkeypatch, LexicalRetriever, "candidates")


def test_the_result_says_what_was_found(tmp_path, experiment):
    result = run(experiment(), RunOptions(work=tmp_path / "work"))
    (part,) = result.sets
    assert [run.system for run in part.runs] == [
        f"{chunker}-{size}/{retriever}"
        for chunker in ("token", "recursive")
        for size in (30, 60)
        for retriever in ("lexical", "hybrid")
    ]
    assert len(part.counted) == 40
    assert part.left_out == {"unanswerable": 1}
    assert part.baseline == result.baseline == "recursive-30/hybrid"
    assert len(part.comparisons) == 7 * 4
    for found in part.runs:
        assert set(found.hits) == {query.query_id for query in part.queries}
        for measure, values in found.scores.items():
            mean, low, high = part.intervals[measure][found.system]
            assert mean == pytest.approx(sum(values) / 40)
            assert low <= mean <= high
        for doc_id, spans in found.boundaries.items():
            text = part.documents[doc_id]
            assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())
    lexical = next(found for found in part.runs if found.system == "recursive-30/lexical")
    assert sum(lexical.scores["RR@5"]) / 40 > 0.8


def test_a_question_with_a_scope_is_asked_of_its_document_alone(tmp_path, experiment):
    (part,) = run(experiment(), RunOptions(work=tmp_path / "work")).sets
    scoped = {query.query_id: query.scope for query in part.queries if query.scope}
    assert len(scoped) == 8
    assert "it's heron" in scoped.values()
    for found in part.runs:
        for query_id, scope in scoped.items():
            assert found.hits[query_id].documents
            assert set(found.hits[query_id].documents) == {scope}
        assert any(len(set(hits.documents)) > 1 for hits in found.hits.values())


def test_a_question_that_finds_nothing_counts_as_zero(tmp_path, animals, experiment):
    queries = (animals / "queries.jsonl").read_text()
    (animals / "queries.jsonl").write_text(queries.replace("When does one see that the heron fishes at dawn?", "zyx?"))
    path = experiment(grid=None, baseline="", systems=[{"name": "a", "pipeline": {"retriever": "lexical"}}])
    (part,) = run(path, RunOptions(work=tmp_path / "work")).sets
    found = part.runs[0]
    assert found.hits["heron-0"].documents == []
    assert len(part.counted) == 40
    for values in (found.scores[measure] for measure in ("Recall@3", "IoU@tokens(60)", "RR@5")):
        assert values[part.counted.index("heron-0")] == 0
        assert len(values) == 40


def test_a_second_run_computes_nothing_and_says_the_same(tmp_path, experiment, embedded, searched):
    options = RunOptions(work=tmp_path / "work")
    first = run(experiment(), options)
    assert (embedded.calls, searched.calls) == (4, 4 * 2 * 41)
    second = run(experiment(), options)
    assert (embedded.calls, searched.calls) == (4, 4 * 2 * 41)
    assert timeless(second) == timeless(first)
    seconds = [[run.hits["heron-1"].seconds for run in result.sets[0].runs] for result in (first, second)]
    assert seconds[0] == seconds[1]


def test_only_what_changed_is_computed(tmp_path, experiment, embedded, searched):
    options = RunOptions(work=tmp_path / "work")
    run(experiment(), options)
    embedded.calls = searched.calls = 0
    grid = {"chunkers": ["token", "recursive", "sentence"], "sizes": [30, 60], "retrievers": ["lexical", "hybrid"]}
    run(experiment(grid=grid, measures=["Recall@2"], resamples=100), options)
    assert (embedded.calls, searched.calls) == (2, 2 * 2 * 41)


def test_a_run_interrupted_between_systems_goes_on_there(tmp_path, experiment, embedded):
    whole = run(experiment(), RunOptions(work=tmp_path / "whole"))
    assert embedded.calls == 4
    embedded.calls, embedded.stop_at = 0, 3
    with pytest.raises(KeyboardInterrupt):
        run(experiment(), RunOptions(work=tmp_path / "work"))
    embedded.calls, embedded.stop_at = 0, 0
    resumed = run(experiment(), RunOptions(work=tmp_path / "work"))
    assert embedded.calls == 2
    assert timeless(resumed) == timeless(whole)


def test_a_run_interrupted_among_questions_goes_on_there(tmp_path, experiment, searched):
    whole = run(experiment(), RunOptions(work=tmp_path / "whole"))
    total = searched.calls
    searched.calls, searched.stop_at = 0, 101
    with pytest.raises(KeyboardInterrupt):
        run(experiment(), RunOptions(work=tmp_path / "work"))
    searched.calls, searched.stop_at = 0, 0
    resumed = run(experiment(), RunOptions(work=tmp_path / "work"))
    assert searched.calls == total - 100
    assert timeless(resumed) == timeless(whole)


def test_a_half_built_index_is_built_again(tmp_path, experiment, embedded):
    options = RunOptions(work=tmp_path / "work")
    first = run(experiment(), options)
    complete = sorted((tmp_path / "work" / "indexes").glob("*/complete.json"))
    assert len(complete) == 4
    complete[0].unlink()
    (complete[0].parent / "index" / "stray").write_text("left by a crash")
    embedded.calls = 0
    assert timeless(run(experiment(), options)) == timeless(first)
    assert embedded.calls == 1


def test_a_sample_uses_the_same_index_and_hits(tmp_path, experiment, embedded, searched):
    whole = run(experiment(), RunOptions(work=tmp_path / "work"))
    embedded.calls = searched.calls = 0
    (part,) = run(experiment(), RunOptions(work=tmp_path / "work", sample=10)).sets
    assert (embedded.calls, searched.calls) == (0, 0)
    assert part.name == "animals"
    assert len(part.queries) == 10
    values = dict(zip(whole.sets[0].counted, whole.sets[0].runs[0].scores["Recall@3"], strict=True))
    assert part.runs[0].scores["Recall@3"] == [values[query_id] for query_id in part.counted]


def test_documents_that_are_not_chunked_are_found_whole(tmp_path, experiment):
    sets = [{"load": "animals", "chunk": False, "name": "facts"}]
    result = run(experiment(sets=sets, measures=['RR(unit="documents")@10']), RunOptions(work=tmp_path / "work"))
    (part,) = result.sets
    assert part.name == "facts"
    assert [found.system for found in part.runs] == ["lexical", "hybrid"]
    assert part.baseline == "hybrid"
    for found in part.runs:
        assert found.chunks == 8
        assert found.boundaries == {doc_id: [(0, len(text))] for doc_id, text in part.documents.items()}


def test_selectors_choose_among_hits(tmp_path, experiment):
    grid = {"chunkers": ["recursive"], "sizes": [30], "selectors": ["none", {"name": "mmr", "k": 3, "balance": 0.9}]}
    (part,) = run(experiment(grid=grid), RunOptions(work=tmp_path / "work")).sets
    plain, chosen = part.runs
    assert chosen.system == "recursive-30/hybrid/mmr-k3-balance0.9"
    everything = {
        (d, tuple(s)) for d, s in zip(plain.hits["lynx-2"].documents, plain.hits["lynx-2"].spans, strict=True)
    }
    kept = chosen.hits["lynx-2"]
    assert len(kept.documents) == 3
    assert {(d, tuple(s)) for d, s in zip(kept.documents, kept.spans, strict=True)} <= everything


def test_hits_carry_tokens_of_the_evaluation_tokenizer(tmp_path, experiment):
    from ragkit.models.words import WordTokenizer

    (part,) = run(experiment(), RunOptions(work=tmp_path / "work")).sets
    for found in part.runs:
        for hits in found.hits.values():
            texts = [part.documents[d][a:b] for d, (a, b) in zip(hits.documents, hits.spans, strict=True)]
            assert WordTokenizer().count(texts) == hits.tokens


def test_matched_length_reaches_one_mean(tmp_path, experiment, embedded):
    grid = {"chunkers": ["token", "recursive", "sentence"], "sizes": [30, 60], "retrievers": ["lexical"]}
    path = experiment(grid=grid, baseline="token-60/lexical")
    options = RunOptions(work=tmp_path / "work", matched_length=25)
    result = run(path, options)
    (part,) = result.sets
    assert [found.system for found in part.runs] == ["token~25/lexical", "recursive~25/lexical", "sentence~25/lexical"]
    assert part.baseline == result.baseline == "token~25/lexical"
    reached = result.experiment["reached"]["animals"]
    for found in part.runs:
        assert found.mean_chunk_tokens == pytest.approx(reached[found.system]["mean_tokens"])
        assert found.mean_chunk_tokens == pytest.approx(25, abs=5)
    assert reached["token~25/lexical"]["size"] != reached["sentence~25/lexical"]["size"]
    embedded.calls = 0
    assert timeless(run(path, options)) == timeless(result)
    assert embedded.calls == 0


def test_peers_run_beside_ours(tmp_path, experiment, minilm_folder, monkeypatch):
    pytest.importorskip("semchunk")
    monkeypatch.setenv("RAGKIT_EMBEDDING_CACHE", "off")  # the vectors below are not the model's
    monkeypatch.setattr(
        SentenceTransformerEmbedder, "_encode", lambda _, texts, *__: HashingEmbedder().embed_queries(texts)
    )
    grid = {"chunkers": ["recursive", {"peer": "semchunk"}], "sizes": [60], "retrievers": ["lexical"]}
    pipeline = {"embedder": {"name": "sentence_transformer", "model": str(minilm_folder)}}
    path = experiment(grid=grid, baseline="", pipeline=pipeline)
    (part,) = run(path, RunOptions(work=tmp_path / "work", sample=5)).sets
    assert [found.system for found in part.runs] == ["recursive-60/lexical", "semchunk-60/lexical"]
    assert part.runs[1].unmapped == 0
    assert part.runs[1].chunks > 8


def test_progress_ends_at_its_total(tmp_path, experiment):
    last: dict[str, tuple[int, int | None]] = {}
    seen = []

    def progress(stage: str, done: int, total: int | None) -> None:
        assert done >= last.get(stage, (0, None))[0]
        last[stage] = (done, total)
        seen.append(stage)

    for _ in range(2):
        last.clear()
        run(experiment(), RunOptions(work=tmp_path / "work", progress=progress))
        assert set(last) == {"indexing", "searching", "scoring"}
        assert all(done == total for done, total in last.values())


def test_the_index_is_an_ordinary_one(tmp_path, experiment):
    run(experiment(), RunOptions(work=tmp_path / "work"))
    for folder in (tmp_path / "work" / "indexes").glob("*/index"):
        with Snapshot(folder) as snapshot:
            assert snapshot.size > 8
