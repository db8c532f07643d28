from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config import LoadingConfig
from ragkit.errors import LoadError
from ragkit.loaders.html import HtmlLoader, declared_encoding
from ragkit.loaders.visible import visible_text
from ragkit.schema import Document

TAGS = st.sampled_from(
    [
        *(
            "<p>",
            "</p>",
            "<ul>",
            "</ul>",
            "<ol>",
            "<li>",
            "</li>",
            "<table>",
            "</table>",
            "<tr>",
            "<td>",
            "</td>",
            "<h2>",
        ),
        *("</h2>", "<pre>", "</pre>", "<br>", "<div hidden>", "</div>", "<b>", "<script>", "</script>", "<nav>"),
        *("</nav>", "word", "&amp;", "\u0301", "<!-- c -->", "<caption>", "<select>", "<template>", "</body>", "<th>"),
    ]
)


def load(path: Path, html: str | bytes) -> Document:
    path.write_bytes(html.encode() if isinstance(html, str) else html)
    (document,) = HtmlLoader(LoadingConfig()).load(path)
    return document


def shown(html: str) -> list[tuple[str, int, str]]:
    text, blocks = visible_text(html)[1].result()
    return [(block.kind.value, block.level, text[block.start : block.end]) for block in blocks]


def test_blocks_of_a_page(tmp_path: Path) -> None:
    html = (
        "<html><head><title> The\n Page </title><style>p {}</style></head><body><nav>Home | About</nav>"
        "<h1>Top <em>one</em></h1><p>Some\n  <b>bold</b>, text<br>second line<script>alert(1)</script></p>loose"
        "<ul><li>a<li>b <ol><li>c</ol></ul><pre>x = 1\n  y</pre><div hidden>secret</div>"
        "<table><caption>Ducks</caption><tr><th>n<th>m<tr><td>1<td>2<br>3</table></body></html>"
    )
    document = load(tmp_path / "a.html", html)
    assert document.metadata == {"title": "The Page"}
    assert [(b.kind.value, b.level, document.text[b.start : b.end]) for b in document.blocks] == [
        ("heading", 1, "Top one"),
        ("paragraph", 0, "Some bold, text\nsecond line"),
        ("paragraph", 0, "loose"),
        ("list", 0, "- a\n- b\n  1. c"),
        ("code", 0, "x = 1\n  y"),
        ("paragraph", 0, "Ducks"),
        ("table", 0, "n | m\n1 | 2 3"),
    ]


def test_a_table_that_holds_tables_is_layout() -> None:
    html = "<table><tr><td><h2>Head</h2><p>Text</p><table><tr><td>a<td>b</table></td><td>side</td></tr></table>"
    assert shown(html) == [
        ("heading", 2, "Head"),
        ("paragraph", 0, "Text"),
        ("table", 0, "a | b"),
        ("paragraph", 0, "side"),
    ]


def test_a_table_of_one_column_is_paragraphs() -> None:
    assert shown("<table><tr><td>a</td></tr><tr><td></td></tr><tr><td>b</td></tr></table>") == [
        ("paragraph", 0, "a"),
        ("paragraph", 0, "b"),
    ]


def test_empty_columns_are_left_out() -> None:
    html = "<table><tr><td>a<td><td>b</tr><tr><td><td> <td>c</tr><tr><td colspan=3>wide</tr></table>"
    assert shown(html) == [("table", 0, "a | b\n | c\nwide")]


def test_two_breaks_part_paragraphs() -> None:
    html = "one<br>line<br> <br>two<table><tr><td>three<br><br>four</td></tr></table>"
    assert [text for _, _, text in shown(html)] == ["one\nline", "two", "three", "four"]


def test_lists_in_cells_and_tables_in_lists_stay_where_they_are() -> None:
    assert shown("<table><tr><td><ul><li>x<li>y</ul><td>z</table>") == [("table", 0, "x y | z")]
    assert shown("<ul><li>q<table><tr><td>1<td>2</table></ul>") == [("list", 0, "- q\n1 | 2")]


@pytest.mark.parametrize("tag", ["div", "b", "ul><li", "table><tr><td", "blockquote", "span"])
def test_ten_thousand_levels_are_read(tag: str) -> None:
    text, _ = visible_text(f"<{tag}>" * 10_000 + "deep words")[1].result()
    assert "deep words" in text


def test_no_entity_is_defined_and_nothing_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("top secret")
    bomb = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    html = (
        f'<!DOCTYPE html [<!ENTITY l0 "lol">{bomb}<!ENTITY x SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'
        '<html><body><p>&x; &l11; fine &eacute;</p><iframe src="http://example.com/"></iframe></body></html>'
    )
    document = load(tmp_path / "a.html", html)
    assert "secret" not in document.text
    assert "fine é" in document.text
    assert len(document.text) < 2000


@pytest.mark.parametrize(
    ("meta", "encoding", "named"),
    [
        ('<meta charset="windows-1251">', "cp1251", "cp1251"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1">', "cp1252", "cp1252"),
        ("<meta charset=shift_jis>", "shift_jis", "shift_jis"),
    ],
)
def test_a_declared_encoding_is_used(meta: str, encoding: str, named: str, tmp_path: Path) -> None:
    word = {"cp1251": "Привет", "cp1252": "“Größe”", "shift_jis": "吾輩は猫"}[encoding]
    document = load(tmp_path / "a.html", f"<html><head>{meta}</head><p>{word}</p>".encode(encoding))
    assert document.text == word
    assert document.metadata == {"encoding": named}


@pytest.mark.parametrize("label", ["nonsense", "utf-16", "base64", "rot13", "idna", "unicode_escape"])
def test_a_declaration_that_cannot_be_true_is_ignored(label: str) -> None:
    assert declared_encoding(f'<meta charset="{label}">'.encode()) is None


def test_a_page_without_visible_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="the page has no visible text"):
        load(tmp_path / "a.html", "<html><script>1</script></html>")


@given(st.lists(TAGS, max_size=40).map("".join))
def test_any_tag_soup_gives_ordered_blocks(html: str) -> None:
    text, blocks = visible_text(html)[1].result()
    text.encode()
    edges = [0, *(edge for block in blocks for edge in (block.start, block.end)), len(text)]
    assert edges == sorted(edges)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaped_text_comes_back_with_white_space_collapsed(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    expected = text.replace("\0", "")
    found = visible_text(f"<p>{escaped}</p>")[1].result()[0]
    assert "".join(found.split()) == "".join(expected.split())
