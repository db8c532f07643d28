"""Segmentation sets in experiments: boundaries, baselines of the same count, density, and clear errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ragkit.chunkers.sentence import SentenceChunker
from ragkit.errors import ConfigError, RagkitWarning, UsageError
from ragkit.eval.experiment.replay import load_result, rescored, save
from ragkit.eval.experiment.run import RunOptions, run
from ragkit.eval.experiment.segmentation_curves import Swept, mixed_at
from ragkit.eval.experiment.segmentation_cuts import Cuts
from ragkit.eval.experiment.segmentation_gold import gold_of
from ragkit.eval.experiment.segmentation_scoring import Scored
from ragkit.eval.experiment.table import markdown
from ragkit.eval.metrics import evaluate_segments
from ragkit.eval.results import ExperimentResult
from ragkit.eval.types import EvalSet
from ragkit.schema import Chunked, Document

TOPICS = ("The heron waits in the reeds {n}.", "Sugar boils at {n} degrees.", "The court heard witness {n}.")
Write = Callable[..., Path]


def topical(doc_id: str, lengths: list[int]) -> dict[str, Any]:
    """Return a document of one line a sentence, its topics of the given numbers of lines."""
    text, segments = "", []
    for place, length in enumerate(lengths):
        lines = [TOPICS[place % 3].format(n=n) for n in range(length)]
        segments.append({"start": len(text), "end": len(text) + len("\n".join(lines))})
        text += "\n".join(lines) + "\n"
    return {"doc_id": doc_id, "text": text[:-1], "segments": segments}


def written(folder: Path, **changes: Any) -> Path:
    """Write a segmentation set and an experiment on it, with the given keys changed; return the experiment's path."""
    data = folder / "data" / "topics"
    data.mkdir(parents=True, exist_ok=True)
    documents = [topical(f"d{place}", [3 + place % 3, 4, 5 + place % 2, 3]) for place in range(12)]
    documents.append(topical("single", [6]))
    documents.append({"doc_id": "bare", "text": "Nobody marked this.\nOr this."})
    (data / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    content = {
        "name": "topics",
        "data": "data",
        "sets": ["topics"],
        "resamples": 200,
        "pipeline": {"embedder": {"name": "hashing", "dimension": 64}},
        "grid": {"chunkers": ["token", "sentence"], "sizes": [12, 40], "retrievers": ["lexical", "hybrid"]},
        "segmentation": {
            "measures": ["WF1", "Pk"],
            "sweeps": [{"chunkers": ["token", "sentence"], "values": [8, 16, 32, 64]}],
        },
        **changes,
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}, sort_keys=False))
    return path


@pytest.fixture
def segmented(tmp_path: Path) -> Write:
    """Return `written` for the test's own folder."""
    return partial(written, tmp_path)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResult:
    folder = tmp_path_factory.mktemp("topics")
    return run(written(folder), RunOptions(work=folder / "work"))


def test_systems_that_cut_alike_run_once(result):
    (part,) = result.segmentations
    assert result.sets == result.measures == []
    assert {found.system: found.cut_by for found in part.runs} == {
        f"{chunker}-{size}": [f"{chunker}-{size}/lexical", f"{chunker}-{size}/hybrid"]
        for chunker in ("token", "sentence")
        for size in (12, 40)
    }
    assert part.baseline == "token-12"


def test_documents_without_a_gold_boundary_are_left_out_and_counted(result):
    (part,) = result.segmentations
    assert part.left_out == {"no gold segments": 1, "no gold boundary": 1}
    assert part.counted == list(part.sizes) == list(part.gold) == [f"d{place}" for place in range(12)]
    assert part.units == "lines"
    assert (part.sizes["d0"], part.gold["d0"], part.gold_inside) == (15, [3, 7, 12], 0)


def test_boundaries_are_chunk_starts_and_their_scores_those_of_the_measures(result):
    (part,) = result.segmentations
    for found in part.runs:
        assert found.predicted == found.chunks - len(part.counted) - 2 - _further_chunks_of_uncounted(found)
        again = evaluate_segments(
            ["WF1", "Pk", "BOR"],
            list(part.gold.values()),
            [found.boundaries[doc_id] for doc_id in part.counted],
            list(part.sizes.values()),
        )
        assert found.scores["WF1"] == again["WF1"].tolist()
        assert found.density == again["BOR"].tolist()
        assert part.intervals["BOR"][found.system][0] == pytest.approx(np.mean(found.density))
        assert found.predicted - found.lost == sum(map(len, found.boundaries.values()))
    sentences = next(found for found in part.runs if found.system == "sentence-12")
    assert sentences.inside == 0


def _further_chunks_of_uncounted(found: Any) -> int:
    """Return how many chunks the two documents that do not count have beyond the first."""
    return found.chunks - len(found.boundaries) - 2 - found.predicted


def test_baselines_have_as_many_boundaries_in_every_document(result):
    (part,) = result.segmentations
    exact = [
        found for found in part.runs if all(size - 1 == len(found.boundaries[d]) for d, size in part.sizes.items())
    ]
    for found in exact:  # everything is a boundary: chance can do no other
        assert found.spaced == found.scores
        assert all(found.drawn[name] == pytest.approx(values) for name, values in found.scores.items())
    for item in part.placements:
        run_ = next(found for found in part.runs if found.system == item.system)
        other = run_.drawn if item.baseline == "as many random" else run_.spaced
        assert item.baseline in ("as many random", "as many spaced")
        expected = np.mean(run_.scores[item.measure]) - np.mean(other[item.measure])
        assert item.difference == pytest.approx(expected, abs=1e-12)
        assert item.low <= item.difference <= item.high
        assert item.p_holm >= item.p_value


def test_systems_of_other_density_have_no_winner(result):
    (part,) = result.segmentations
    density = {system: found[0] for system, found in part.intervals["BOR"].items()}
    apart = [item for item in part.comparisons if not 1 / 1.1 <= density[item.system] / density[item.baseline] <= 1.1]
    assert len(part.comparisons) == 6
    assert apart
    assert all(item.winner is None for item in apart)
    assert "not compared: BOR" in markdown(result)


def test_the_curve_has_a_point_for_every_distinct_segmentation(result):
    (part,) = result.segmentations
    assert [(curve.chunker, curve.option) for curve in part.curves] == [("token", "size"), ("sentence", "size")]
    for curve in part.curves:
        densities = [point.density for point in curve.points]
        assert densities == sorted(densities)
        assert {point.value for point in curve.points} <= {8, 16, 32, 64}
        assert all(low <= mean <= high for point in curve.points for mean, low, high in point.means.values())


def test_chunkers_are_compared_at_exactly_one_density(result):
    (part,) = result.segmentations
    assert [found.density for found in part.matched] == [0.5, 1.0, 2.0]
    for found in part.matched:
        assert set(found.mixed) | set(found.not_reached) == {"token", "sentence"}
        for system in found.mixed:
            assert found.intervals["BOR"][system][0] == pytest.approx(found.density)
        assert {item.baseline for item in found.comparisons} <= {found.baseline}
    assert any(len(found.mixed) == 2 for found in part.matched)


def test_a_second_run_cuts_nothing_and_says_the_same(tmp_path, segmented, monkeypatch):
    first = run(segmented(), RunOptions(work=tmp_path / "work"))
    monkeypatch.setattr(SentenceChunker, "chunk", lambda *_: pytest.fail("it was cut before"))
    again = run(segmented(), RunOptions(work=tmp_path / "work"))
    assert again.segmentations == first.segmentations


def test_matched_length_tunes_the_systems(tmp_path, segmented):
    found = run(segmented(), RunOptions(work=tmp_path / "work", matched_length=15))
    (part,) = found.segmentations
    assert [item.system for item in part.runs] == ["token~15", "sentence~15"]
    assert all(item.mean_chunk_tokens == pytest.approx(15, abs=3) for item in part.runs)
    assert "Chunks matched to 15 tokens" in markdown(found)


def test_a_sample_keeps_whole_documents(tmp_path, segmented):
    (part,) = run(segmented(), RunOptions(work=tmp_path / "work", sample=11)).segmentations
    assert 9 <= len(part.counted) <= 11


def test_a_set_with_questions_and_segments_is_scored_in_both_ways(tmp_path, segmented):
    segmented()
    (tmp_path / "data" / "topics" / "queries.jsonl").write_text(
        "\n".join(
            json.dumps({"query_id": f"q{n}", "question": "Where does the heron wait?", "evidence": [_span(f"d{n}")]})
            for n in range(12)
        )
    )
    options = RunOptions(work=tmp_path / "work")
    plain = run(segmented(measures=["Recall@3"]), options)
    assert (len(plain.sets), plain.segmentations) == (1, [])
    both = run(segmented(measures=["Recall@3"], sets=[{"load": "topics", "segments": True}]), options)
    assert [part.name for part in (*both.sets, *both.segmentations)] == ["topics", "topics"]
    text = markdown(both)
    assert "## topics\n" in text
    assert "## topics: segments\n" in text


def _span(doc_id: str) -> dict[str, Any]:
    return {"doc_id": doc_id, "start": 0, "end": 31}


def test_results_are_kept_and_scored_again_by_other_measures(tmp_path, result):
    save(result, tmp_path / "results.json.gz")
    kept = load_result(tmp_path)
    assert kept == result
    again = rescored(kept, ["WindowDiff", "WF1"])
    (old,), (new,) = result.segmentations, again.segmentations
    assert new.measures == ["WindowDiff", "WF1"]
    assert new.intervals["WF1"] == old.intervals["WF1"]
    assert [found.scores["WF1"] for found in new.runs] == [found.scores["WF1"] for found in old.runs]
    assert rescored(kept).segmentations == kept.segmentations
    with pytest.raises(UsageError, match="holds no questions"):
        rescored(kept, ["Recall@5"])
    with pytest.raises(UsageError, match="BOR is always reported"):
        rescored(kept, ["BOR"])


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"measures": ["WF2"]}, r"experiment.yaml:\d+: There is no measure named 'WF2'"),
        ({"measures": ["Recall@5"]}, "one of segmentation was expected"),
        ({"curve": ["BOR"]}, "BOR has no better or worse"),
        ({"sweep": []}, "unknown key 'sweep'.*Did you mean 'sweeps'"),
        ({"sweeps": [{"chunkers": ["token"], "value": [1]}]}, "unknown key 'value'.*Did you mean 'values'"),
        ({"sweeps": [{"chunkers": ["tokn"]}]}, r"experiment.yaml:\d+: There is no chunker named 'tokn'"),
        ({"sweeps": [{"chunkers": ["token"], "option": "percentile", "values": [1]}]}, "no option 'percentile'"),
        ({"sweeps": [{"chunkers": ["token"], "values": [-1]}]}, "-1"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_line(tmp_path, segmented, segmentation, message):
    with pytest.raises(ConfigError, match=message):
        run(segmented(segmentation=segmentation), RunOptions(work=tmp_path / "work"))


def test_a_set_without_segments_is_no_segmentation_set(tmp_path, animals, segmented):
    options = RunOptions(work=tmp_path / "work")
    with pytest.raises(ConfigError, match="animals has no gold segments"):
        run(segmented(sets=[{"load": "animals", "segments": True}]), options)
    with pytest.raises(ConfigError, match="is not chunked"):
        run(segmented(sets=[{"load": "topics", "chunk": False}]), options)


def evalset(text: str, *segments: tuple[int, int]) -> EvalSet:
    return EvalSet("s", {"d": Document(text, source="d", doc_id="d")}, (), {"d": segments})


def test_units_are_lines_only_where_all_borders_are_ends_of_lines():
    assert gold_of(evalset("a b.\nC d.", (0, 4), (5, 9))).kind == "lines"
    assert gold_of(evalset("A b. C d.\nE f.", (0, 4), (5, 14))).kind == "sentences"
    found = gold_of(evalset("Ann b. C d.\nE f.", (0, 6), (7, 16)), "lines")
    assert (found.kind, found.inside, found.positions) == ("lines", 1, {"d": [1]})
    with pytest.raises(UsageError, match="no document has a gold boundary between its lines"):
        gold_of(evalset("A b.", (0, 2), (2, 4)), "lines")


def point(value: float, density: list[float], scores: list[float]) -> Swept:
    columns = {"WF1": scores}
    cuts = Cuts(str(value), 1, 1.0, 0, 0, 0.0, {}, 1)
    return Swept(value, cuts, Scored(density, columns, columns, columns))


@given(st.floats(0, 4))
def test_a_mixture_has_the_density_asked_for_and_lies_between_its_points(wanted):
    points = [point(1, [3.0, 1.0], [0.2, 0.9]), point(2, [0.5, 1.5], [0.4, 0.1]), point(3, [0.5, 0.1], [1.0, 0.0])]
    found = mixed_at(points, wanted)
    if not 0.3 <= wanted <= 2.0:
        assert found is None
        return
    assert found is not None
    assert np.mean(found.scored.density) == pytest.approx(wanted)
    pairs = zip(found.first.scored.own["WF1"], found.scored.own["WF1"], found.second.scored.own["WF1"], strict=True)
    assert all(min(a, c) - 1e-9 <= b <= max(a, c) + 1e-9 for a, b, c in pairs)


def test_a_chunker_whose_pieces_are_no_text_of_the_set_is_said_and_warned_about(tmp_path, segmented, monkeypatch):
    class Lost(SentenceChunker):
        unmapped = 0

        def chunk(self, documents):
            for document in documents:
                self.unmapped += 3
                yield Chunked(document, [])

    monkeypatch.setattr("ragkit.chunkers.sentence.SentenceChunker", Lost)
    with pytest.warns(RagkitWarning, match="sentence-12: none of its 42 pieces is text of its document"):
        (part,) = run(segmented(segmentation={"sweeps": []}), RunOptions(work=tmp_path / "work")).segmentations
    assert sum("its figures say nothing about that library" in note for note in part.notes) == 2
    assert "sentence-12 and sentence-40 found the same boundaries" in part.notes
    assert part.intervals["BOR"]["sentence-12"] == (0.0, 0.0, 0.0)
    assert (part.curves, part.matched) == ([], [])


def test_the_worked_mixture_of_the_documentation():
    found = mixed_at([point(320, [0.75], [0.35]), point(226, [1.09], [0.40])], 1.0)
    assert found is not None
    assert found.share == pytest.approx(0.25 / 0.34)
    assert found.scored.own["WF1"] == pytest.approx([0.387], abs=5e-4)
