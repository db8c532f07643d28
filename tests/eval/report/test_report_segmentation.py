"""The sections of segmentation sets: figures as in the records, curves beside chance, and names that stay text."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from lxml import html as parser

from ragkit.errors import UsageError
from ragkit.eval.report import render
from ragkit.eval.results import (
    BoundaryRun,
    Comparison,
    Curve,
    CurvePoint,
    ExperimentResult,
    MatchedDensity,
    SegmentationResult,
)

HOSTILE = "<img src=x onerror=alert(1)>"


def compared(system: str, baseline: str, winner: str | None, difference: float = 0.2) -> Comparison:
    return Comparison(
        measure="WF1", system=system, baseline=baseline, difference=difference, low=difference - 0.1,
        high=difference + 0.1, p_value=0.01, p_holm=0.02, detectable=0.1, winner=winner,
    )  # fmt: skip


def ran(system: str) -> BoundaryRun:
    values = {"WF1": [0.5, 0.7]}
    return BoundaryRun(
        system=system, cut_by=[system], chunks=1234, mean_chunk_tokens=45.6, boundaries={"a": [1], "b": [2]},
        predicted=4, inside=1, lost=2, density=[1.0, 1.0], scores=values, spaced=values, drawn=values, seconds=0.1,
    )  # fmt: skip


def curve(chunker: str, *densities: float) -> Curve:
    points = [
        CurvePoint(
            value=100,
            density=density,
            inside=0.5,
            means={"WF1": (0.5, 0.4, 0.6)},
            spaced={"WF1": 0.3},
            drawn={"WF1": 0.2},
        )
        for density in densities
    ]
    return Curve(chunker=chunker, option="size", points=points)


def small(name: str = "topics", *, density: float = 1.0) -> ExperimentResult:
    part = SegmentationResult(
        name=name, fingerprint="abcdef" * 6, units="lines", sizes={"a": 5, "b": 6}, gold={"a": [1], "b": [3]},
        gold_inside=0, counted=["a", "b"], left_out={"no gold boundary": 3}, measures=["WF1"],
        runs=[ran("old"), ran("new")],
        intervals={
            "WF1": {"old": (0.4, 0.3, 0.5), "new": (0.6, 0.5, 0.7)},
            "BOR": {"old": (1.0, 0.9, 1.1), "new": (density, 0.9, 1.1)},
        },
        comparisons=[compared("new", "old", "new")],
        placements=[
            compared("new", "as many random", "new"),
            compared("old", "as many spaced", "as many spaced", -0.2),
        ],
        baseline="old",
        curves=[curve("old", 0.5, 1.0, 4.0), curve(name, 0.6, 2.0)],
        matched=[
            MatchedDensity(
                density=1.0, mixed={"old": (100, 200, 0.5)}, not_reached=[name], baseline="old",
                intervals={"WF1": {"old": (0.44, 0.3, 0.5)}, "BOR": {"old": (1.0, 1.0, 1.0)}}, comparisons=[],
                placements=[compared("old", "as many random", None)],
            )
        ],
        notes=["a note"],
    )  # fmt: skip
    return ExperimentResult(
        name="e", created="now", machine="m", code_version="c", experiment={}, measures=[], baseline="old", seed=0,
        sets=[], segmentations=[part],
    )  # fmt: skip


def rows(page: str, table: int) -> list[list[str]]:
    found = parser.fromstring(page).xpath(f"(//section[@id='segments-0']//table)[{table}]//tbody/tr")
    return [[" ".join(cell.text_content().split()) for cell in row] for row in found]


def test_a_set_is_shown_with_its_figures():
    page = render(small())
    assert rows(page, 1) == [
        ["old baseline", "1,234", "45.6", "25%", "1.000 [0.900, 1.100]", "0.400 [0.300, 0.500]"],
        ["new", "1,234", "45.6", "25%", "1.000 [0.900, 1.100]", "0.600 [0.500, 0.700]"],
    ]
    text = parser.fromstring(page).text_content()
    assert "2 documents count; boundaries stand between lines" in text
    assert "3 left out: no gold boundary" in text
    assert "a note" in text
    assert "Single queries" not in text
    assert 'id="data"' not in page


def test_differences_to_chance_and_to_the_baseline_at_one_density():
    at_density, at_settings = rows(render(small()), 2), rows(render(small()), 3)
    assert at_density == [
        ["old", "0.440", "as many random", "+0.200", "[+0.100, +0.300]", "0.020", "no difference shown"]
    ]
    assert [(row[0], row[2], row[-1]) for row in at_settings] == [
        ("old", "as many spaced", "▼ worse"),
        ("new", "as many random", "▲ better"),
        ("new", "old", "▲ better"),
    ]
    apart = rows(render(small(density=1.5)), 3)
    assert [row[2] for row in apart] == ["as many spaced", "as many random"]


def test_curves_are_drawn_beside_chance():
    drawn = parser.fromstring(render(small())).xpath("//section[@id='segments-0']//*[name()='svg']")
    assert len(drawn) == 1
    text = " ".join(drawn[0].itertext())
    assert all(name in text for name in ("old", "topics", "as many random", "as many spaced", "BOR"))


def test_names_stay_text():
    page = render(small(HOSTILE))
    assert HOSTILE not in page
    assert HOSTILE in parser.fromstring(page).text_content()


def test_an_empty_result_is_still_refused():
    with pytest.raises(UsageError, match="holds 0 data sets"):
        render(small().model_copy(update={"segmentations": []}))
    with pytest.raises(UsageError, match="holds no measure 'WF1'"):
        render(small(), measure="WF1")


def test_the_page_opens_and_its_tables_sort(opened):
    from selenium.webdriver.common.by import By

    page = opened(render(small()))
    head = page.find_elements(By.CSS_SELECTOR, "#segments-0 table.means thead .sort")[-1]
    head.click()
    names = [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "#segments-0 table.means tbody th")]
    assert [name.split()[0] for name in names] == ["new", "old"]
