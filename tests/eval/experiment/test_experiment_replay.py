"""Replays: the hits of a result are scored again with nothing but its file."""

from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import LoadError, StorageError, UnknownPartError, UsageError
from ragkit.eval.experiment.delivery import deliver
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.replay import load_result, rescored, save
from ragkit.eval.experiment.run import RunOptions, run
from ragkit.eval.experiment.scoring import scored
from ragkit.eval.experiment.table import markdown
from ragkit.eval.metrics import parse
from ragkit.eval.results import SystemHits
from ragkit.eval.types import EvidenceSpan, Query
from ragkit.models.hashing import HashingEmbedder

from .conftest import timeless


def small(experiment, tmp_path, **changes):
    grid = {"chunkers": ["recursive"], "sizes": [30, 60], "retrievers": ["lexical"]}
    path = experiment(grid=grid, baseline="", **changes)
    return run(path, RunOptions(work=tmp_path / "work"))


def test_a_replay_says_the_same_with_nothing_but_the_file(tmp_path, experiment, monkeypatch):
    result = small(experiment, tmp_path)
    save(result, tmp_path / "out" / "results.json.gz")
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "work")
    monkeypatch.setattr(HashingEmbedder, "_embed", lambda *_: pytest.fail("a replay needs no model"))
    read = load_result(tmp_path / "out")
    assert read == result
    assert timeless(rescored(read)) == timeless(result)
    shallower = rescored(read, ["Recall@2", "Recall@tokens(30)", 'IoU(unit="tokens")@2'])
    assert shallower.measures == ["Recall@2", "Recall@tokens(30)", 'IoU(unit="tokens")@2']
    assert set(shallower.sets[0].intervals) == set(shallower.measures)
    assert len(shallower.sets[0].comparisons) == 3


def test_a_measure_that_looks_deeper_than_the_kept_hits_is_refused(tmp_path, experiment):
    result = small(experiment, tmp_path, measures=["Recall@3", 'RR(unit="documents")@2', "IoU@tokens(60)"])
    for measure in ("Recall@4", "Recall@tokens(61)", 'R(unit="documents")@3', "Recall", "Recall@chars(9)"):
        with pytest.raises(UsageError, match="looks deeper"):
            rescored(result, [measure])
    with pytest.raises(UnknownPartError) as raised:
        rescored(result, ["Recal@3"])
    assert "'Recall'" in raised.value.hint


def test_without_cutoff_all_hits_are_kept(tmp_path, experiment):
    result = small(experiment, tmp_path, measures=["Recall", "Precision@1"])
    assert max(len(hits.documents) for hits in result.sets[0].runs[0].hits.values()) == 20
    assert rescored(result, ["Recall@17"]).measures == ["Recall@17"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", gzip.compress(b""), gzip.compress(b"{}"), gzip.compress(b'{"name": 1}'), gzip.compress(b"{" * 9)[:-9]],
)
def test_a_file_that_is_no_result_is_refused(tmp_path, content):
    path = tmp_path / "results.json.gz"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=r"results\.json\.gz"):
        load_result(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LoadError, match="No such file"):
        load_result(tmp_path / "nothing.json.gz")


def test_a_folder_that_cannot_be_written_is_named(tmp_path, experiment):
    result = small(experiment, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        deliver(result, tmp_path / "file")


def test_the_table_shows_no_difference_without_its_interval(tmp_path, experiment):
    result = small(experiment, tmp_path)
    text = markdown(result)
    rows = [line for line in text.splitlines() if line.startswith("| recursive-60/lexical")]
    assert len(rows) == 1 + len(result.measures)
    for row, item in zip(rows[1:], result.sets[0].comparisons, strict=True):
        assert f"{item.difference:+.3f}" in row
        assert f"{item.low:+.3f} to {item.high:+.3f}" in row
        assert any(verdict in row for verdict in ("| better |", "| worse |", "no difference shown (detectable: "))
    assert "40 questions counted; 1 left out: unanswerable" in text


def test_all_files_are_written_and_readable(tmp_path, experiment):
    result = small(experiment, tmp_path)
    files = {file.name: file for file in deliver(result, tmp_path / "out")}
    assert {"results.json.gz", "results.md"} <= set(files)
    assert json.loads(gzip.decompress(files["results.json.gz"].read_bytes()))["name"] == "animals"
    assert files["results.md"].read_text(encoding="utf-8") == markdown(result)


HIT = st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(1, 9), st.integers(1, 12))
MEASURES = (
    *("Recall@3", "Precision@2", "IoU@tokens(25)", "Recall@chars(20)", 'nDCG(unit="documents")@2', "RR@4"),
    *('R(unit="documents")@3', "IoU@tokens(5)", "FullEvidence@1"),
)


@given(
    st.lists(HIT, max_size=25, unique_by=lambda hit: hit[:3]),
    st.lists(st.sampled_from(MEASURES), min_size=1, unique=True),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=4),
)
def test_what_is_not_kept_does_not_count(found, written, gold):
    hits = SystemHits(
        documents=[hit[0] for hit in found],
        spans=[(hit[1], hit[1] + hit[2]) for hit in found],
        tokens=[hit[3] for hit in found],
        scores=[float(-place) for place in range(len(found))],
        seconds=0.0,
    )
    spans = {(document, start, start + length) for document, start, length in gold}
    query = Query("q", "?", evidence=tuple(EvidenceSpan(*span) for span in sorted(spans)))
    measures = [parse(text) for text in written]
    chunks = {document: sorted({span for d, span in zip(hits.documents, hits.spans, strict=True) if d == document})
              for document in "abc"}  # fmt: skip
    kept = Depth.of(measures).kept(hits)
    assert kept.documents == hits.documents[: len(kept.documents)]
    values = [scored([query], [item], chunks, measures, None)[0] for item in (hits, kept)]
    assert values[0] == values[1]
    for measure in measures:
        Depth.stored(Depth.of(measures).as_dict()).check(measure)
    assert np.isfinite(list(values[0].values())).all()
