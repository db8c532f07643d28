"""The table of selectors: what counts as reached, whose documents are resampled, and what a plot joins by a line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.selector_table import _family, plot, table


def result(*, lost: float, tokens: float, questions: int = 40, documents: int = 40) -> Any:
    """Return a result of two systems, as far as the table reads it."""

    def system(name: str, recall: float, used: float) -> Any:
        scores = {
            **{"Recall": [recall] * questions, "Tokens": [used] * questions, "Units": [2.0] * questions},
            **{"Precision": [0.25] * questions, "IoU": [0.2] * questions, "Empty": [0.0] * questions},
        }
        hits = {f"q{place}": SimpleNamespace(seconds=0.004) for place in range(questions)}
        return SimpleNamespace(system=name, scores=scores, hits=hits)

    queries = [
        SimpleNamespace(query_id=f"q{place}", scope=None, evidence=[(f"d{place % documents}", 0, 5)])
        for place in range(questions)
    ]
    return SimpleNamespace(
        name="small",
        runs=[system("top_k 5", 0.9, 900.0), system("fusion", 0.9 - lost, tokens)],
        queries=queries,
        counted=[query.query_id for query in queries],
    )


@pytest.mark.parametrize(
    ("lost", "tokens", "reached"),
    [(0.0, 450.0, True), (0.029, 400.0, True), (0.031, 400.0, False), (0.0, 460.0, False), (-0.1, 100.0, True)],
)
def test_the_bar(lost, tokens, reached):
    last = list(table(result(lost=lost, tokens=tokens), "top_k 5"))[-1]
    assert last.startswith("| fusion | 2.0 |")
    assert last.endswith("| yes |" if reached else "|  |")


def test_an_unknown_reference_is_named():
    with pytest.raises(SystemExit, match="no system mmr; it has top_k 5, fusion"):
        list(table(result(lost=0, tokens=1), "mmr"))


def test_families_and_the_plot(tmp_path):
    assert [_family(one) for one in ("top_k 5", "top_k 5, chunks of 100", "fusion, share 0.3")] == [
        *("top_k", "top_k, chunks of 100", "fusion"),
    ]
    path = tmp_path / "plot.svg"
    plot([result(lost=0.0, tokens=400.0)], path)
    assert "small" in path.read_text(encoding="utf-8")
