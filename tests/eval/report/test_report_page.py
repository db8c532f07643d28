"""The page as a whole: what it says, what it refuses, and that nothing in it loads or runs but its own code."""

import json
import re
import sys
from typing import Any

import pytest
from lxml import html

pytest.importorskip("matplotlib")

from ragkit.errors import ContractError, MissingExtraError, UsageError
from ragkit.eval.report import render
from ragkit.eval.report.browsing import hits_shown
from ragkit.eval.results import AnswerRecord, ModelRecord, Spent
from tests.eval.report.small import EVIDENCE, TEXT, comparison, hits, one_set, query, run, small

HOSTILE = "</script><img src=x onerror=alert(1)><!--&amp;\"'{{ 7 * 7 }}"


def _page(**changed: Any) -> html.HtmlElement:
    return html.document_fromstring(render(small(**changed)))


def _words(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def _verdict(**changed: Any) -> str:
    page = _page(sets=[one_set(comparisons=[comparison(**changed)])])
    (cell,) = page.find_class("verdict")
    return _words(cell)


def test_the_summary_gives_means_with_intervals():
    (table,) = _page().find_class("means")
    assert [_words(row) for row in table.iter("tr")] == [
        "System Recall@1",
        "old baseline 0.000 [0.000, 0.200]",
        "new 1.000 [0.800, 1.000]",
    ]


def test_a_difference_is_given_with_all_that_belongs_to_it():
    clustered = comparison(clustered=(0.05, 0.95), p_holm=0.0001)
    (table,) = _page(sets=[one_set(comparisons=[clustered])]).find_class("differences")
    row = list(table.iter("tr"))[1]
    assert [_words(cell) for cell in row] == [
        "new", "+0.500", "[+0.100, +0.900]", "[+0.050, +0.950]", "0.010", "< 0.001", "0.300", "▲ new is better",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "▲ new is better"),
        ({"difference": -0.5, "low": -0.9, "high": -0.1, "winner": "old"}, "▼ old is better"),
        ({"winner": None}, "no difference shown"),
        ({"low": -0.1}, "no difference shown"),
        ({"low": 0.0}, "no difference shown"),
        ({"clustered": (-0.1, 0.9)}, "no difference shown"),
    ],
)
def test_a_winner_is_named_only_where_the_intervals_exclude_zero(changed: dict[str, Any], expected: str):
    assert _verdict(**changed) == expected


@pytest.mark.parametrize(("winner", "mark"), [("new", "▲"), (None, "")])
def test_the_overview_marks_shown_differences_only(winner: str | None, mark: str):
    page = _page(sets=[one_set(comparisons=[comparison(winner=winner)])])
    rows = page.get_element_by_id("overview").findall(".//tbody/tr")
    assert [_words(row) for row in rows] == ["old 0.000◦", f"new 1.000{mark}"]


def test_a_single_query_has_no_detectable_difference():
    page = _page(sets=[one_set(comparisons=[comparison(detectable=float("inf"))])])
    assert "inf" not in _words(page.find_class("differences")[0])


def test_what_was_left_out_is_said():
    assert "1 queries count. 1 left out: no evidence." in _words(_page().get_element_by_id("set-0"))


def test_notes_of_a_set_are_shown():
    page = _page(sets=[one_set(notes=["3 pieces could not be mapped"])])
    assert "Notes (1) 3 pieces could not be mapped" in _words(page.get_element_by_id("set-0"))


def test_a_set_has_a_baseline_of_its_own():
    page = _page(baseline="", sets=[one_set(baseline="old")])
    assert "Paired differences to old" in _words(page.get_element_by_id("set-0"))
    assert _words(page.find_class("means")[0].findall(".//tr")[1]).startswith("old baseline")
    assert json.loads(page.get_element_by_id("data").text)["baseline"] == "old"


def test_spans_of_grade_zero_are_no_evidence():
    graded = query("q", "?", [], [("d", 0, 5), ("d", 6, 9)]).model_copy(update={"grades": [0.0, 2.0]})
    data = json.loads(_page(sets=[one_set(queries=[graded])]).get_element_by_id("data-0").text)
    assert data["queries"][0]["evidence"] == [[0, 6, 9]]


def test_nothing_is_loaded_and_only_own_code_may_run():
    text = render(small())
    page = html.document_fromstring(text)
    (rule,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert rule.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in rule
    assert not page.xpath("//link | //iframe | //object | //embed | //img | //base | //@src | //@style")
    assert not page.xpath("//@*[starts-with(name(), 'on')]")
    assert all(link.startswith("#") for link in page.xpath("//@href"))
    assert not re.search(r"@import|url\((?!#)", page.xpath("//style")[0].text)
    # the name of the SVG namespace is no address that anything fetches
    assert set(re.findall(r"https?://[\w./]+", text)) == {"http://www.w3.org/2000/svg"}


def _hostile() -> str:
    runs = [
        run(
            name,
            {HOSTILE: hits((0, 9), document=HOSTILE)},
            {"Recall@1": [1.0]},
            cost={"answers": Spent(calls=1, dollars=1.0)},
            language_model=ModelRecord(name=HOSTILE, fingerprint=HOSTILE),
            answers={HOSTILE: AnswerRecord(text=HOSTILE, citations=[(HOSTILE, 0, 9)], unsupported=[HOSTILE])},
        )
        for name in (HOSTILE, "old")
    ]
    one = one_set(
        name=HOSTILE,
        fingerprint=HOSTILE,
        documents={HOSTILE: HOSTILE},
        queries=[query(HOSTILE, HOSTILE, [HOSTILE], [(HOSTILE, 0, 5)])],
        counted=[HOSTILE],
        left_out={HOSTILE: 1},
        runs=runs,
        intervals={"Recall@1": {HOSTILE: (1.0, 1.0, 1.0)}},
        comparisons=[comparison(system=HOSTILE, winner=HOSTILE)],
    )
    names = {"name": HOSTILE, "created": HOSTILE, "machine": HOSTILE, "code_version": HOSTILE}
    return render(small(**names, sets=[one], experiment={HOSTILE: [HOSTILE]}))


def test_texts_and_names_stay_text():
    page = html.document_fromstring(_hostile())
    assert not page.xpath("//img | //@onerror")
    assert [script.get("id") for script in page.iter("script")] == ["data", "data-0", None]
    assert "49" not in _words(page.find(".//h1"))
    assert page.find(".//h1").text_content() == HOSTILE
    data = json.loads(page.get_element_by_id("data-0").text)
    assert data["queries"][0]["question"] == HOSTILE
    assert data["documents"][0]["pieces"] == [[0, HOSTILE]]
    assert data["systems"][0]["name"] == HOSTILE


def test_data_refer_by_place():
    page = _page()
    data = json.loads(page.get_element_by_id("data-0").text)
    assert data["queries"][0]["evidence"] == [[0, *EVIDENCE]]
    assert [query["counted"] for query in data["queries"]] == [[0], [-1]]
    assert data["systems"][1]["spans"] == [0, 19, len(TEXT), (len(TEXT) - 19) // 5, 0, 0, 19, 3]
    assert data["systems"][1]["hits"] == [[0, 1], []]
    assert data["systems"][1]["hitScores"] == [[1.0, 0.5], []]
    assert [system["boundaries"] for system in data["systems"]] == [0, 0], "equal ones are held once"
    assert data["boundaries"] == [{"0": [0, 19, len(TEXT)]}]
    assert json.loads(page.get_element_by_id("data").text)["measures"] == [
        {"name": "Recall@1", "lower": False, "cut": {"kind": "k", "size": 1}}
    ]


def test_hits_outside_the_scope_are_left_out_as_in_scoring():
    scoped = query("q", "?", [], [("d", 0, 5)]).model_copy(update={"scope": "d"})
    found = hits((0, 5), document="other").model_copy(update={"documents": ["other", "d"], "spans": [(0, 5), (0, 9)],
                                                              "tokens": [1, 2], "scores": [2.0, 1.0]})  # fmt: skip
    one = one_set(queries=[scoped], runs=[run("old", {"q": found}, {"Recall@1": [1.0]})], comparisons=[])
    data = json.loads(_page(sets=[one]).get_element_by_id("data-0").text)
    assert data["systems"][0]["hits"] == [[0]]
    assert data["systems"][0]["spans"] == [0, 0, 9, 2]


def test_a_document_that_is_not_in_the_records_is_no_error():
    one = one_set(documents={})
    assert json.loads(_page(sets=[one]).get_element_by_id("data-0").text)["documents"][0]["pieces"] == []


def test_long_documents_are_embedded_around_what_is_shown():
    long = TEXT + "x" * 100_000
    data = json.loads(_page(sets=[one_set(documents={"d": long})]).get_element_by_id("data-0").text)
    assert data["documents"][0]["length"] == len(long)
    assert sum(len(text) for _, text in data["documents"][0]["pieces"]) < 1000


@pytest.mark.parametrize(("most", "shown"), [(1000, 20), (48, 12), (4, 5)])
def test_very_many_queries_show_fewer_hits(most: int, shown: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ragkit.eval.report.browsing.MOST_HITS", most)
    result = small()
    assert hits_shown(result, [one.queries for one in result.sets], 20) == shown


def test_a_large_experiment_shows_the_widest_questions_and_some_at_random(monkeypatch: pytest.MonkeyPatch):
    names = [f"q{place}" for place in range(1000)]
    found = {name: hits((0, 19)) for name in names}
    wide = [float(place % 40 == 7) for place in range(1000)]
    one = one_set(
        queries=[query(name, f"Question {name}?", [], [("d", *EVIDENCE)]) for name in names],
        counted=names,
        runs=[run("old", found, {"Recall@1": [0.0] * 1000}), run("new", found, {"Recall@1": wide})],
    )
    whole = _page(sets=[one])
    assert len(json.loads(whole.get_element_by_id("data-0").text)["queries"]) == 1000
    assert not whole.xpath("//*[@id = 'shown-questions']")
    monkeypatch.setattr("ragkit.eval.report.choosing.MOST_LISTS", 1999)
    page = _page(sets=[one])
    data = json.loads(page.get_element_by_id("data-0").text)
    shown = [record["id"] for record in data["queries"]]
    assert len(shown) == len(set(shown)) == 60
    assert {names[place] for place in range(7, 1000, 40)} <= set(shown), "all 25 on which the systems differ"
    assert shown == sorted(shown, key=names.index)
    for record in data["queries"]:
        (place,) = record["counted"]
        assert data["systems"][1]["scores"][0][place] == wide[names.index(record["id"])]
    assert "Shown here are 60 of 1,000 questions" in _words(page.get_element_by_id("shown-questions"))
    assert [row.text_content() for row in whole.find_class("means")] == [
        r.text_content() for r in page.find_class("means")
    ]
    other = json.loads(_page(sets=[one], seed=1).get_element_by_id("data-0").text)["queries"]
    assert [record["id"] for record in other] != shown


def test_the_chosen_measure_comes_first():
    one = one_set(
        runs=[run("old", {}, {"Recall@1": [0.0], "RR@10": [0.1]}), run("new", {}, {"Recall@1": [1.0], "RR@10": [0.2]})],
        intervals={name: {"old": (0.1, 0.0, 0.2), "new": (0.2, 0.1, 0.3)} for name in ("Recall@1", "RR@10")},
    )
    text = render(small(measures=["Recall@1", "RR@10"], sets=[one]), measure="RR@10")
    head = html.document_fromstring(text).find_class("means")[0].find(".//tr")
    assert [_words(cell) for cell in head] == ["System", "RR@10", "Recall@1"]


def test_an_experiment_with_what_yaml_cannot_write_is_shown():
    from pathlib import Path

    assert "there/data" in render(small(experiment={"data": Path("there/data"), "k": (1, 2)}))


def test_a_page_is_the_same_every_time():
    assert render(small()) == render(small())


def test_an_unknown_measure_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no measure 'Recal@1'.*Recall@1"):
        render(small(), measure="Recal@1")


@pytest.mark.parametrize("changed", [{"sets": []}, {"measures": []}])
def test_an_empty_experiment_is_refused(changed: dict[str, Any]):
    with pytest.raises(UsageError, match="Run it with at least one of each"):
        render(small(**changed))


def test_no_hits_at_all_is_refused():
    with pytest.raises(UsageError, match="hits = 0"):
        render(small(), hits=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"runs": [run("new", {}, {"Recall@1": [1.0, 0.5]})]}, "'new' on 'set': 2 values of Recall@1 for 1 counted"),
        ({"counted": ["ghost"]}, "counts the query 'ghost'"),
        ({"queries": [query("q", "?", [], []).model_copy(update={"grades": [1.0]})]}, "1 grades for 0 evidence spans"),
    ],
)
def test_records_that_contradict_each_other_are_refused(changed: dict[str, Any], message: str):
    with pytest.raises(ContractError, match=message):
        render(small(sets=[one_set(**changed)]))


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("ragkit.eval.report.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"'matplotlib'.*ragkit\[eval\]"):
        render(small())
