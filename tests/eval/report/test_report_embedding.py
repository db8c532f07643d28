"""JSON in a page: nothing in it ends its element, and what is read is what was written."""

import base64
import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from ragkit.eval.report.embedding import json_script, policy

TEXTS = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            ["</script>", "<!--", "<script>", "-->", "]]>", "&lt;", "\u2028", "\r\n", "\x00", "𝄞", '"', "\\"]
        )
    ).map("".join),
)


@given(
    st.recursive(
        TEXTS | st.integers() | st.booleans() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
    )
)
def test_what_is_embedded_is_read_back_and_holds_no_markup(value: object):
    markup = str(json_script("x", value))
    inner = markup.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert not set("<>&\u2028\u2029") & set(inner)
    assert json.loads(inner) == value


@pytest.mark.parametrize("attack", ["</script><script>alert(1)</script>", "<!--<script>", "</ScRiPt >"])
def test_an_html_parser_sees_one_element(attack: str):
    page = html.fromstring(f"<body>{json_script('x', [attack])}<p>after</p></body>")
    (script,) = page.iter("script")
    assert json.loads(script.text) == [attack]
    assert page.find("p").text == "after"


def test_the_name_is_escaped():
    assert 'id="&#34;&gt;"' in json_script('">', 1)


def test_numbers_that_json_lacks_become_null():
    assert ">[null,null,1.5]<" in json_script("x", [math.nan, math.inf, 1.5])


def test_a_lone_surrogate_does_not_break_the_page():
    assert '"a?b"' in json_script("x", "a\ud800b")


def test_the_policy_allows_this_code_and_no_other():
    digest = base64.b64encode(hashlib.sha256(b"code()").digest()).decode()
    found = dict(part.split(" ", 1) for part in policy("a {}", "code()").split("; "))
    assert found["default-src"] == "'none'"
    assert found["script-src"] == f"'sha256-{digest}'"
    assert "unsafe" not in policy("a {}", "code()")
