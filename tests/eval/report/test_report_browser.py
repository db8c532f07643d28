"""The report in a real browser: it opens, filters, sorts, opens a query and shows what the records say."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("selenium")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from ragkit.eval.datasets import load
from ragkit.eval.report import render
from ragkit.eval.results import AnswerRecord, ExperimentResult, ModelRecord
from tests.eval.report.made import experiment
from tests.eval.report.small import EVIDENCE, TEXT, comparison, hits, one_set, query, run, small

Open = Callable[[str], Any]
HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


def _texts(browser: Any, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements(By.CSS_SELECTOR, selector)]


def _set(browser: Any, expected: str, **filters: str) -> None:
    """Set filters and wait until the line of counts starts as expected."""
    for name, value in filters.items():
        field = browser.find_element(By.ID, name)
        if field.tag_name == "select":
            Select(field).select_by_value(value)
        else:
            field.send_keys(Keys.CONTROL, "a")
            field.send_keys(value)
    line = browser.find_element(By.ID, "count")
    WebDriverWait(browser, 10, 0.02).until(lambda _: line.text.startswith(expected), f"{expected!r} was expected")


def _expand(browser: Any, place: int = 0) -> Any:
    row = browser.find_elements(By.CSS_SELECTOR, ".query")[place]
    row.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    WebDriverWait(browser, 10, 0.02).until(lambda _: row.find_elements(By.CSS_SELECTOR, ".view"))
    return row


def _many(count: int) -> ExperimentResult:
    """Return an experiment with so many questions; the new system is better on every tenth, worse on one."""
    names = [f"q{place}" for place in range(count)]
    found = {name: hits((0, 19)) for name in names}
    new = [1.0 if place % 10 == 0 else 0.5 for place in range(count)]
    new[7] = 0.0
    one = one_set(
        queries=[query(name, f"Question number {name[1:]} of many?", [], [("d", *EVIDENCE)]) for name in names],
        counted=names,
        left_out={},
        runs=[run("old", found, {"Recall@1": [0.5] * count}), run("new", found, {"Recall@1": new})],
    )
    return small(sets=[one])


def test_a_query_is_opened_with_the_keyboard_and_shows_its_evidence(opened: Open):
    browser = opened(render(small()))
    assert _texts(browser, ".query .row") == ["What do bees make?\n1.000\n0.000\n+1.000", "Who reads?\n–\n–\n–"]
    row = _expand(browser)
    assert [mark.text for mark in row.find_elements(By.CSS_SELECTOR, ".excerpt .evidence")] == ["honey"]
    assert row.find_elements(By.CSS_SELECTOR, ".excerpt .evidence.hit")
    assert row.find_element(By.CLASS_NAME, "coverage").text.startswith("5 of 5 characters of evidence retrieved")
    assert "Gold answers: honey" in row.text
    (excerpt,) = row.find_elements(By.CLASS_NAME, "excerpt")
    # the second hit lies beyond the cut-off of Recall@1, so its badge comes without filling
    assert [badge.get_attribute("class") for badge in excerpt.find_elements(By.CLASS_NAME, "rank")] == [
        "rank after",
        "rank",
    ]
    assert [badge.text for badge in excerpt.find_elements(By.CLASS_NAME, "rank")] == ["2", "1"]
    assert len(excerpt.find_elements(By.CLASS_NAME, "cut")) == 2
    first = row.find_element(By.CSS_SELECTOR, ".hits tbody tr").text
    assert first.startswith("1 1 7 yes d")


def test_an_answer_is_shown_with_its_citations_and_counts_for_its_own_measure(opened: Open):
    answers = {
        "q": AnswerRecord(text="Honey. [1] [2]", citations=[("d", *EVIDENCE), ("d", 0, 4)], unsupported=["So it is."]),
        "none": AnswerRecord(text=None, failure="none of the 2 sources fits into 1 tokens"),
    }
    found = {"q": hits((19, len(TEXT)), (0, 19)), "none": hits()}
    model = ModelRecord(name="small-model", fingerprint="f")
    scores = {"Recall@1": [1.0], "Abstention": [0.0]}
    runs = [
        run("old", found, {"Recall@1": [0.0], "Abstention": [1.0]}),
        run("new", found, scores, answers=answers, language_model=model),
    ]
    one = one_set(runs=runs, counted_by={"Abstention": ["none"]})
    browser = opened(render(small(measures=["Recall@1", "Abstention"], sets=[one])))
    row = _expand(browser)
    answer = row.find_element(By.CLASS_NAME, "answer")
    assert answer.find_element(By.TAG_NAME, "h4").text == "Answer of new (small-model)"
    assert answer.find_element(By.CLASS_NAME, "said").text == "Honey. [1] [2]"
    assert [cited.text for cited in answer.find_elements(By.TAG_NAME, "li")] == ["d honeyevidence", "d Ants"]
    assert "Not supported by a source: So it is." in answer.text
    _set(browser, "2 of 2 queries: A better on 0, B better on 1, equal on 0, 1 without both scores", measure="1")
    assert _texts(browser, ".query .row") == ["What do bees make?\n–\n–\n–", "Who reads?\n0.000\n1.000\n−1.000"]
    assert "none of the 2 sources fits" in _expand(browser, 1).find_element(By.CLASS_NAME, "answer").text


def test_another_system_shows_what_it_missed(opened: Open):
    browser = opened(render(small()))
    row = _expand(browser)
    Select(row.find_element(By.CSS_SELECTOR, ".pick select")).select_by_visible_text("old")
    (evidence,) = row.find_elements(By.CSS_SELECTOR, ".excerpt .evidence")
    assert evidence.get_attribute("class") == "evidence late"
    assert row.find_element(By.CLASS_NAME, "coverage").text.startswith("0 of 5 characters of evidence retrieved")


def test_queries_are_filtered_by_text_and_by_who_wins_and_sorted(opened: Open):
    browser = opened(render(_many(250)))
    _set(browser, "250 of 250 queries: A better on 25, B better on 1, equal on 224.")
    _set(browser, "25 of 250 queries: A better on 25, B better on 0, equal on 0.", show="a")
    _set(browser, "1 of 250 queries: A better on 0, B better on 1", show="b")
    assert _texts(browser, ".query .question") == ["Question number 7 of many?"]
    _set(browser, "26 of 250 queries", sort="up", show="differ")
    assert _texts(browser, ".query .row")[0] == "Question number 7 of many?\n0.000\n0.500\n−0.500"
    _set(browser, "250 of 250 queries", show="all")
    _set(browser, "1 of 250 queries", text="NUMBER 24 of")
    assert _texts(browser, ".query .question") == ["Question number 24 of many?"]
    _set(browser, "1 of 250 queries: A better on 0, B better on 0, equal on 1.", b="new")


def test_the_largest_difference_comes_first(opened: Open):
    browser = opened(render(_many(30)))
    _set(browser, "4 of 30 queries", sort="down", show="differ")
    assert [text.split("\n")[-1] for text in _texts(browser, ".query .row")] == ["+0.500", "+0.500", "+0.500", "−0.500"]
    _set(browser, "1 of 30 queries", show="b")


def test_where_lower_is_better_a_beats_b_with_the_lower_value(opened: Open):
    runs = [run("old", {}, {"Tokens@1": [9.0]}), run("new", {}, {"Tokens@1": [4.0]})]
    one = one_set(runs=runs, intervals={}, comparisons=[comparison(measure="Tokens@1")])
    browser = opened(render(small(measures=["Tokens@1"], sets=[one])))
    assert "A better on 1" in browser.find_element(By.ID, "count").text
    _set(browser, "1 of 2 queries", show="a")
    assert _texts(browser, ".query .number") == ["4.000", "9.000", "−5.000"]


def test_data_sets_are_chosen_or_shown_together(opened: Open):
    other = one_set(name="other", queries=[query("x", "Another question?", [], [("d", *EVIDENCE)])], counted=["x"])
    browser = opened(render(small(sets=[one_set(), other])))
    _set(browser, "1 of 1 queries", set="1")
    assert _texts(browser, ".query .question") == ["Another question?"]
    _set(browser, "3 of 3 queries", set="all")
    assert _texts(browser, ".query .question") == ["What do bees make?set", "Who reads?set", "Another question?other"]


def test_hostile_texts_are_shown_as_text(opened: Open):
    one = one_set(
        name=HOSTILE,
        documents={"d": HOSTILE},
        queries=[query(HOSTILE, HOSTILE, [HOSTILE], [("d", 0, 9)])],
        counted=[HOSTILE],
        runs=[run(name, {HOSTILE: hits((0, 20))}, {"Recall@1": [1.0]}) for name in (HOSTILE, "old")],
    )
    browser = opened(render(small(name="small", sets=[one])))
    row = _expand(browser)
    assert HOSTILE in row.find_element(By.CLASS_NAME, "question").text
    assert HOSTILE in row.find_element(By.CLASS_NAME, "excerpt").get_attribute("textContent").replace("1</", "</")
    assert browser.title == "small – evaluation"
    assert not browser.find_elements(By.TAG_NAME, "img")


def test_offsets_count_code_points(opened: Open):
    text = "𝄞🐝" * 10 + TEXT
    start = text.index("honey")
    one = one_set(
        documents={"d": text},
        queries=[query("q", "?", [], [("d", start, start + 5)])],
        runs=[run("old", {"q": hits((20, 39), (start - 10, start + 20))}, {"Recall@1": [0.0]})],
    )
    row = _expand(opened(render(small(sets=[one]))))
    assert row.find_element(By.CSS_SELECTOR, ".excerpt .evidence").text == "honey"
    assert row.find_element(By.CSS_SELECTOR, ".excerpt .hit").text == text[20:39]


def test_ten_thousand_queries_stay_usable(opened: Open):
    browser = opened(render(_many(10_000)))
    assert "10,000 of 10,000" in browser.find_element(By.ID, "count").text
    rows = "return document.querySelectorAll('.query').length"
    assert browser.execute_script(rows) <= 200
    started = time.monotonic()
    _set(browser, "1 of 10,000", text="number 9999")
    assert time.monotonic() - started < 5
    assert browser.execute_script(rows) == 1
    _set(browser, "10,000 of 10,000", text="number")
    before = browser.execute_script(rows)
    browser.execute_script("document.getElementById('more').scrollIntoView()")
    WebDriverWait(browser, 10, 0.05).until(lambda _: browser.execute_script(rows) > before)


def test_a_table_is_sorted_by_its_columns_and_back(opened: Open):
    browser = opened(render(small()))
    button = browser.find_element(By.CSS_SELECTOR, ".means .sort")
    seen = []
    for _ in range(3):
        button.send_keys(Keys.ENTER)
        seen.append([text.split()[0] for text in _texts(browser, ".means tbody tr")])
    assert seen == [["new", "old"], ["old", "new"], ["old", "new"]]


def test_nothing_is_fetched_and_both_themes_differ(opened: Open):
    browser = opened(render(small()))
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    background = "return getComputedStyle(document.body).backgroundColor"
    colour = "return getComputedStyle(document.querySelector('.plot text')).fill"
    seen = []
    for theme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": theme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        seen.append((browser.execute_script(background), browser.execute_script(colour)))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert seen[0][0] == "rgb(255, 255, 255)"
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_a_narrow_window_does_not_scroll_sideways(opened: Open):
    browser = opened(render(small()))
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    _expand(browser)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    names = browser.execute_script("return document.querySelector('.means tbody th').offsetWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360
    assert names >= 100


def test_what_a_query_shows_agrees_with_its_score(opened: Open, shared_data: Callable[[str], Path]):
    """The share of evidence characters that the page counts from hits and cut-off is the harness's recall."""
    whole = load(shared_data("chunking_eval"))
    queries = whole.queries[::12]
    used = {span.doc_id for one in queries for span in one.evidence}
    part = replace(whole, queries=queries, documents={name: whole.documents[name] for name in used})
    result = experiment([part], sizes=(50, 100), measures=["Recall@tokens(400)"])
    browser = opened(render(result))
    assert Select(browser.find_element(By.ID, "a")).first_selected_option.text == "window-50 / tf-idf"
    for place, row in enumerate(browser.find_elements(By.CSS_SELECTOR, ".query")):
        score = float(row.find_element(By.CSS_SELECTOR, ".number").text)
        _expand(browser, place)
        found, all_ = re.match(r"([\d,]+) of ([\d,]+) ", row.find_element(By.CLASS_NAME, "coverage").text).groups()
        assert int(found.replace(",", "")) / int(all_.replace(",", "")) == pytest.approx(score, abs=0.0006)
