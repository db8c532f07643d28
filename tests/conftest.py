"""Shared fixtures: the two small models, and the public data where it is present."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from ragkit.models.local import LocalLanguageModel

settings.register_profile("default", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

os.environ.setdefault("RAGKIT_LLM_CACHE", "off")  # tests ask the models, not what they once said

DATA = Path(os.environ.get("RAGKIT_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a function from the name of a public data set to its folder; skips where it is absent."""

    def folder(name: str) -> Path:
        path = DATA / name
        if not path.is_dir():
            pytest.skip(f"the public data set {name!r} is not in {DATA}; set RAGKIT_DATA to its parent folder")
        return path

    return folder


@pytest.fixture(scope="session")
def records(shared_data: Callable[[str], Path]) -> Callable[[str, str], Iterator[dict[str, Any]]]:
    """Return a function (data set, "corpus" or "queries") -> its records."""

    def read(name: str, part: str) -> Iterator[dict[str, Any]]:
        with gzip.open(shared_data(name) / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    return read


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """Return the folder of the local embedder; skips where `ragkit models fetch` has not run."""
    from ragkit.models.hub import model_folder

    return _cached(lambda: model_folder("all-MiniLM-L6-v2", fetch=False))


@pytest.fixture(scope="session")
def smollm_folder() -> Path:
    """Return the folder of the local language model; skips where `ragkit models fetch` has not run."""
    from ragkit.models.hub import model_folder

    return _cached(lambda: model_folder("SmolLM2-135M-Instruct", fetch=False))


@pytest.fixture(scope="session")
def smollm(smollm_folder: Path) -> LocalLanguageModel:
    """Return the local language model on the CPU, loaded once for all tests; it keeps nothing between calls."""
    from ragkit.models.local import LocalLanguageModel

    return LocalLanguageModel(str(smollm_folder), device="cpu")


def _cached(find: Callable[[], Path]) -> Path:
    from ragkit.errors import ModelError

    try:
        return find()
    except ModelError as error:
        pytest.skip(f"model not cached: {error}; run 'make models'")
