"""docs/metrics.md names every measure, and what it writes can be read."""

import re
from pathlib import Path

import pytest

from ragkit.eval.metrics import MEASURES, parse

TEXT = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`\n]+)`", TEXT)


@pytest.mark.parametrize("name", list(MEASURES))
def test_every_measure_is_documented(name: str):
    assert any(re.match(rf"{name}\b", code) for code in CODE)


@pytest.mark.parametrize("name", [name for name, measure in MEASURES.items() if measure.declaration.options])
def test_every_option_is_documented(name: str):
    row = next(line for line in TEXT.splitlines() if re.search(rf"`{name}\b", line) and line.startswith("|"))
    section = TEXT[: TEXT.index(row)].rpartition("\n## ")[2] + row
    for option in MEASURES[name].declaration.options:
        assert re.search(rf"\b{option}\b", section), option


@pytest.mark.parametrize("text", [code for code in CODE if code.split("(")[0].split("@")[0] in MEASURES])
def test_every_measure_in_the_text_can_be_read(text: str):
    assert str(parse(text)) == text
