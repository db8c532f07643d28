"""A small data set on disk, an experiment over it, and results without what differs from run to run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ragkit.eval.results import ExperimentResult
from ragkit.plugins import BUILT_IN

from .reader import Reader

ANIMALS = ("heron", "otter", "badger", "falcon", "lynx", "marten", "plover", "stoat")
HABITS = ("fishes at dawn", "hides its food", "digs long tunnels", "nests on cliffs", "hunts in the snow")


def passages(animal: str) -> list[str]:
    """Return paragraphs of different length, one of which answers each question about `animal`."""
    filler = "Naturalists have written a great deal about the valley and its weather over many years. "
    return [f"{filler * (place + 1)}The {animal} {habit} in season {place}." for place, habit in enumerate(HABITS)]


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Return a data set in ragkit's format: eight documents, forty questions and one that nothing answers."""
    folder = tmp_path / "data" / "animals"
    folder.mkdir(parents=True)
    corpus, queries = [], []
    for animal in ANIMALS:
        text = "\n\n".join(passages(animal))
        corpus.append({"doc_id": f"it's {animal}", "text": text})
        for place, habit in enumerate(HABITS):
            start = text.index(f"The {animal} {habit}")
            span = {"doc_id": f"it's {animal}", "start": start, "end": text.index(".", start) + 1}
            question = f"When does one see that the {animal} {habit}?"
            meta = {"doc_id": f"it's {animal}"} if place == 0 else {}
            queries.append(
                {
                    "query_id": f"{animal}-{place}",
                    "question": question,
                    "answers": [f"In season {place}.", f"season {place}"],
                    "evidence": [span],
                    "meta": meta,
                }
            )
    queries.append({"query_id": "none", "question": "Who painted it?", "meta": {"answerable": False}})
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    return folder


@pytest.fixture
def experiment(tmp_path: Path, animals: Path) -> Callable[..., Path]:
    """Return a function that writes an experiment file, with the given keys changed, and returns its path."""

    def write(**changes: Any) -> Path:
        content = {
            "name": "animals",
            "data": "data",
            "sets": ["animals"],
            "k": 20,
            "resamples": 200,
            "measures": ["Recall@3", "IoU@tokens(60)", "RR@5", "PrecisionOmega"],
            "baseline": "recursive-30/hybrid",
            "pipeline": {"embedder": {"name": "hashing", "dimension": 64}},
            "grid": {"chunkers": ["token", "recursive"], "sizes": [30, 60], "retrievers": ["lexical", "hybrid"]},
            **changes,
        }
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}, sort_keys=False))
        return path

    return write


def timeless(result: ExperimentResult) -> dict[str, Any]:
    """Return what must be equal between two runs: all but dates and times."""
    content = result.model_dump(mode="json", exclude={"created"})
    for part in content["sets"]:
        for run in part["runs"]:
            del run["index_seconds"], run["embedded"], run["cached_vectors"]
            for spent in run["cost"].values():
                del spent["seconds"], spent["from_cache"]
            for answer in run["answers"].values():
                for call in [answer["call"], *(said["call"] for said in answer["judged"].values())]:
                    if call is not None:
                        del call["seconds"]
            del run["hits"]["seconds"]
    return content


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> type[Reader]:
    """Return the class of the language models `{name: reader}`, which keeps what all of them were asked."""
    monkeypatch.setitem(BUILT_IN["language_models"], "reader", "tests.eval.experiment.reader:Reader")
    monkeypatch.setattr(Reader, "asked", [])
    monkeypatch.setattr(Reader, "judged", [])
    monkeypatch.setattr(Reader, "stop_at", 0)
    monkeypatch.setattr(Reader, "broken", ())
    return Reader
