"""An index over four short texts, answered by the local model without a gate."""

from __future__ import annotations

from pathlib import Path

import yaml

from ragkit.config import PipelineConfig
from ragkit.pipeline import Pipeline

from .conftest import TEXTS


def make_index(folder: Path, model: Path) -> Path:
    """Return `folder`, in which there are now `index` and its configuration, `ragkit.yaml`."""
    (folder / "docs").mkdir()
    for number, text in enumerate(TEXTS):
        (folder / "docs" / f"{number}.txt").write_text(text)
    config = {
        "embedder": {"name": "hashing", "dimension": 64},
        "retriever": "lexical",
        "language_model": {"name": "local", "model": str(model), "device": "cpu"},
        "kv_reuse": {"store": str(folder / "store"), "gate": False},
    }
    (folder / "ragkit.yaml").write_text(yaml.safe_dump(config))
    with Pipeline(folder / "index", PipelineConfig.from_mapping(config)) as pipeline:
        pipeline.index([folder / "docs"])
    return folder
