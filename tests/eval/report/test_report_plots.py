"""The plots: labels that do not meet, colours that can be seen, drawings that a strict page takes."""

import re
import warnings
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

pytest.importorskip("matplotlib")

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg

from ragkit.eval.report.drawing import drawing
from ragkit.eval.report.palette import MARKERS, SERIES, VARIABLES, look
from ragkit.eval.report.plots import named, plots
from ragkit.eval.report.points import Series, draw_points, spread
from ragkit.eval.report.sorted_differences import sampled, shares
from ragkit.eval.results import Spent
from tests.eval.report.small import comparison, hits, one_set, run, small


@given(st.lists(st.floats(0, 5), min_size=1, max_size=30), st.floats(0.01, 0.5))
def test_labels_keep_their_order_and_their_distance(wanted: list[float], gap: float):
    places = spread(wanted, gap, 5.0)
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], places[index]))
    ordered = [places[index] for index in order]
    least = min(gap, 5.0 / max(len(wanted) - 1, 1))
    assert all(other - one >= least - 1e-9 for one, other in itertools.pairwise(ordered))
    assert ordered[0] >= -1e-9
    assert ordered[-1] <= 5.0 + 1e-9


def test_labels_that_do_not_meet_stay_where_they_are():
    assert spread([4.0, 1.0, 2.0], 0.5, 5.0) == pytest.approx([4.0, 1.0, 2.0])


def test_neighbours_share_the_way():
    assert spread([1.0, 1.0], 0.5, 5.0) == pytest.approx([0.75, 1.25])


def test_sixty_three_series_look_different():
    assert len({look(place) for place in range(len(SERIES) * len(MARKERS))}) == 63


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_seen_and_texts_read(theme: int):
    sheet = resources.files("ragkit.eval.report").joinpath("report.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[theme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    # the labels of series are text, so they need 4.5 too (WCAG 1.4.3)
    for name in ["ink", "muted", "accent", "better", "worse", *(f"series-{place}" for place in range(len(SERIES)))]:
        assert _contrast(colours[name], colours["surface"]) >= 4.5, name
    for background in ("evidence", "both", "hit", "raised"):
        assert _contrast(colours["ink"], colours[background]) >= 4.5, background
    for name in ("hit-line", "missed"):
        assert _contrast(colours[name], colours["surface"]) >= 3, name


def _drawn(name: str = "<b>&amp; $x$ \x00\n漢字 نص") -> tuple[str, str]:
    series = [Series(name, ((10.0, 0.5, 0.4, 0.6), (2000.0, 0.7, 0.6, 0.8)), 0, is_baseline=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return drawing(draw_points(series, "across", "up"), "p0", name)


def test_a_drawing_has_no_style_attribute_no_stand_in_colour_and_no_foreign_name():
    svg, style = _drawn()
    root = etree.fromstring(svg)
    assert not root.xpath("//@style")
    assert not root.xpath("//*[local-name() = 'style' or local-name() = 'script' or local-name() = 'metadata']")
    assert not any(stand_in in svg + style for stand_in in VARIABLES)
    assert not re.search(r"#[0-9a-f]{6}", style)
    for link in root.xpath("//@*[local-name() = 'href']"):
        assert root.xpath(f"//*[@id = '{link[1:]}']")
    for clip in root.xpath("//@clip-path"):
        assert root.xpath(f"//*[@id = '{clip[5:-1]}']")
    assert all(identity.startswith("p0-") for identity in root.xpath("//@id"))


def test_names_are_text_in_a_drawing():
    svg, _ = _drawn()
    assert "<b>&amp; $x$ ��漢字 نص" in etree.fromstring(svg).xpath("//*[local-name() = 'text']/text()")
    assert "<b>" not in svg


def test_a_drawing_is_the_same_every_time():
    assert _drawn() == _drawn()


def test_every_value_that_exists_is_plotted():
    spent = Spent(calls=2, prompt_tokens=90, reply_tokens=10, seconds=0.5, dollars=0.5)
    costly = one_set(runs=[run("new", {"q": hits((0, 5))}, {"Recall@1": [1.0]}, cost={"answers": spent})])
    result = small(sets=[costly])
    assert [plot.title for plot in plots(result, costly, "Recall@1")] == [
        "Quality against retrieved tokens",
        "Quality against index time",
        "Quality against latency",
        "Quality against cost in tokens",
        "Quality against cost in seconds",
        "Quality against cost in dollars",
    ]


def test_differences_are_those_to_the_baseline():
    result = small()
    (plot,) = [plot for plot in plots(result, result.sets[0], "Recall@1") if "Differences" in plot.title]
    assert "+1.000: better 100%, same 0%, worse 0%" in plot.svg


def test_where_lower_is_better_the_lower_one_is_above_the_line():
    runs = [run("old", {}, {"Tokens@1": [9.0]}), run("new", {}, {"Tokens@1": [4.0]})]
    result = small(measures=["Tokens@1"], sets=[one_set(runs=runs, comparisons=[comparison(measure="Tokens@1")])])
    (plot,) = [plot for plot in plots(result, result.sets[0], "Tokens@1") if "Differences" in plot.title]
    assert "+5.000: better 100%" in plot.svg


def test_of_many_systems_the_baseline_and_the_best_are_named():
    systems = ["old", *(f"new {place}" for place in range(19))]
    means = {"old": 0.0, **{f"new {place}": place / 20 for place in range(19)}}
    runs = [run(system, {}, {"Recall@1": [means[system]]}) for system in systems]
    intervals = {"Recall@1": {system: (mean, mean, mean) for system, mean in means.items()}}
    one = one_set(runs=runs, intervals=intervals, comparisons=[])
    assert named(small(), one, "Recall@1") == ["old", *(f"new {place}" for place in range(8, 19))]
    drawn = [plot.svg for plot in plots(small(sets=[one]), one, "Recall@1")]
    assert all("new 18" in svg and "new 7" not in svg for svg in drawn)


def test_where_lower_is_better_the_lowest_are_named():
    systems = [f"s{place:02}" for place in range(20)]
    runs = [run(system, {}, {"Tokens@1": [1.0]}) for system in systems]
    intervals = {"Tokens@1": {system: (float(place), 0.0, 20.0) for place, system in enumerate(systems)}}
    one = one_set(runs=runs, intervals=intervals, baseline="s19")
    assert named(small(), one, "Tokens@1") == [*systems[:11], "s19"]


def test_a_long_curve_is_thinned_from_end_to_end():
    values = np.random.default_rng(0).normal(size=10_000)
    thinned = sampled(values)
    assert len(thinned) == 200
    assert thinned[0] == values.max()
    assert thinned[-1] == values.min()
    assert (np.diff(thinned) <= 0).all()


def test_shares_sum_to_one():
    assert shares(np.array([0.5, 0.0, 0.0, -1.0])) == (0.25, 0.5, 0.25)


def test_what_is_not_priced_or_not_computed_is_not_plotted():
    free = Spent(calls=2, prompt_tokens=90, reply_tokens=10, seconds=0.5)
    runs = [
        run("old", {"q": hits((0, 5))}, {"Recall@1": [0.0]}, cost={"answers": free}, cached_vectors=3, embedded=1),
        run("new", {"q": hits((0, 5))}, {"Recall@1": [1.0]}, cost={"judge": free}, context="oracle"),
    ]
    one = one_set(runs=runs)
    titles = [plot.title for plot in plots(small(sets=[one]), one, "Recall@1")]
    assert "Quality against cost in tokens" in titles
    assert "Quality against cost in dollars" not in titles
    assert "Quality against index time" not in titles
    (plot,) = [plot for plot in plots(small(sets=[one]), one, "Recall@1") if plot.title.endswith("tokens")][1:]
    assert ">old" in plot.svg
    assert ">new" not in plot.svg


@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (0.00123, 0.0012, 0.00125), (1234.5, 1200.0, 1300.0)])
def test_the_upright_axis_has_room_for_its_name_and_numbers(values: tuple[float, float, float]):
    series = [Series("one", ((10.0, *values),), 0, is_baseline=False)]
    figure = draw_points(series, "tokens", 'nDCG(unit="documents")@10')
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure.axes[0].yaxis.get_tightbbox(canvas.get_renderer())  # in pixels of the figure
    assert box is not None
    assert box.x0 > 0.1 * figure.dpi
