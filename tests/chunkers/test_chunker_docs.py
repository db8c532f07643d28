"""docs/chunkers.md names every option of the chunkers that ask a model, with its default."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from ragkit.chunkers.margin_sampling import MarginSamplingChunker
from ragkit.chunkers.perplexity import PerplexityChunker

PAGE = (Path(__file__).parents[2] / "docs" / "chunkers.md").read_text(encoding="utf-8")
RESOURCES = {"tokenizer", "language_model", "progress", "running"}
"""Given by the pipeline, or by callers in Python; `running` is explained in the text."""


@pytest.mark.parametrize("chunker", [PerplexityChunker, MarginSamplingChunker])
def test_the_tables_have_every_option_and_its_default(chunker: type) -> None:
    section = PAGE.split(f"## `{chunker.name}`")[1].split("\n## ")[0]  # type: ignore[attr-defined]  # of both
    listed: dict[str, str] = {}
    for names, defaults in re.findall(r"^\| (`.*?`) \| (.*?) \|", section, re.MULTILINE):
        values = [re.sub(r" \(.*", "", value.strip("`")) for value in defaults.split(", ")]
        listed |= dict(zip(re.findall(r"`(\w+)`", names), values, strict=True))
    parameters = inspect.signature(chunker).parameters
    expected = {name: item.default for name, item in parameters.items() if name not in RESOURCES}
    plain = {name: str(value).lower() if isinstance(value, bool) else f"{value}" for name, value in expected.items()}
    assert listed == {name: "0" if value == "0.0" else value for name, value in plain.items()}
