"""Text, Markdown and source code: the text is the file's own, and blocks lie in it in order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ragkit.config import LoadingConfig
from ragkit.errors import LoadError
from ragkit.loaders.blocks import TextBuilder, line_starts, paragraphs
from ragkit.loaders.code import CodeLoader, python_spans, unindented_spans
from ragkit.loaders.decoding import decode
from ragkit.loaders.markdown import MarkdownLoader, front_matter, markdown_blocks
from ragkit.loaders.text import TextLoader
from ragkit.schema import Block, BlockKind, Document

CAPS = LoadingConfig()
TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("\r\n\r\n -#`|>*=\t1.x\0\u0301\u2028"))
)
MARKUP = st.lists(
    st.sampled_from(
        [
            *("# h", "## ü", "text\u0301", "- a", "1. b", "  - c", "", "", "```", "~~~ py", "| a | b |", "|---|---|"),
            *("> q", "    code", "<div>", "---", "===", "\t", "x\r", "\ufeff", "$$", "\f", "\x85", "[a]: b"),
        ]
    ),
    max_size=30,
).flatmap(lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(lines)))


def load(loader: TextLoader | MarkdownLoader | CodeLoader, path: Path, content: str | bytes) -> Document:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (document,) = loader.load(path)
    return document


def shown(document: Document) -> list[tuple[str, int, str]]:
    return [(block.kind.value, block.level, document.text[block.start : block.end]) for block in document.blocks]


def check_blocks(text: str, blocks: list[Block] | tuple[Block, ...]) -> None:
    edges = [0, *(edge for block in blocks for edge in (block.start, block.end)), len(text)]
    assert edges == sorted(edges)
    for block in blocks:
        piece = text[block.start : block.end]
        assert piece.strip()
        assert piece == piece.rstrip()


@pytest.mark.parametrize(
    "kind", [(TextLoader, "a.txt"), (MarkdownLoader, "a.md"), (CodeLoader, "a.py"), (CodeLoader, "a.c")]
)
@given(text=TEXT)
@example(text="a\r\nb\r\n")
@example(text="a\0b, with a NUL in the middle of it")
def test_the_text_is_the_decoded_file_verbatim(
    kind: tuple[type[TextLoader], str], text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = text.encode()
    try:
        expected = decode(data).text
    except ValueError:
        assume(False)
    assume(expected.strip())
    loader, name = kind
    document = load(loader(CAPS), tmp_path_factory.getbasetemp() / name, data)
    assert document.text == expected
    check_blocks(document.text, document.blocks)


@given(st.one_of(TEXT, MARKUP))
@example("a\r\rb")
@example("- a\n\n\n\n    b\n")
@example("```\nnever closed")
def test_markdown_blocks_are_ordered_and_inside_the_text(text: str) -> None:
    check_blocks(text, list(markdown_blocks(text)))


@given(st.one_of(TEXT, MARKUP))
def test_paragraphs_hold_every_character_that_is_not_space(text: str) -> None:
    joined = "".join(text[start:end] for start, end in paragraphs(text))
    assert "".join(joined.split()) == "".join(text.split())


@given(TEXT)
def test_lines_start_after_each_line_end(text: str) -> None:
    starts = line_starts(text)
    assert "".join(text[a:b] for a, b in pairwise(starts)) == text
    assert all(text[start - 1] in "\r\n" for start in starts[1:-1])


def test_text_paragraphs_keep_cr_lf_and_indentation(tmp_path: Path) -> None:
    document = load(TextLoader(CAPS), tmp_path / "a.txt", "one\r\ntwo\r\n\r\n \t\r\n  three\r\n")
    assert document.text == "one\r\ntwo\r\n\r\n \t\r\n  three\r\n"
    assert shown(document) == [("paragraph", 0, "one\r\ntwo"), ("paragraph", 0, "  three")]
    assert document.source == str(tmp_path / "a.txt")
    assert document.metadata == {}


def test_delimited_files_are_one_table(tmp_path: Path) -> None:
    document = load(TextLoader(CAPS), tmp_path / "a.csv", "a,b\n\n1,2\n")
    assert shown(document) == [("table", 0, "a,b\n\n1,2")]


def test_underlined_titles_of_rst_are_headings_by_order_of_use(tmp_path: Path) -> None:
    rst = "Top\n===\n\nWords.\n\nSub\n---\n\nOther\n=====\n\nno title\n--\n"
    document = load(TextLoader(CAPS), tmp_path / "a.rst", rst)
    headings = [(level, text.split()[0]) for kind, level, text in shown(document) if kind == "heading"]
    assert headings == [(1, "Top"), (2, "Sub"), (1, "Other")]


def test_a_wrong_encoding_is_named_in_the_metadata(tmp_path: Path) -> None:
    german = "Die Größe der Übung überrascht mich immer noch sehr. " * 20
    document = load(TextLoader(CAPS), tmp_path / "a.txt", german.encode("utf-16"))
    assert document.text == german
    assert document.metadata == {"encoding": "utf-16-le"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"a\.txt: the file is empty \(0 bytes\)\."),
        (b" \r\n\t", r"a\.txt: it holds no text, only white space\."),
        (b"\0" * 64, r"a\.txt: it looks binary: 100% of its bytes are NUL\."),
        (b"%PDF-1.4 x", r"a\.txt: it looks binary: it holds PDF data\."),
    ],
)
def test_what_is_no_text_is_refused_with_a_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=reason):
        load(TextLoader(CAPS), tmp_path / "a.txt", content)


def test_caps_on_bytes_and_characters_name_the_setting(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"11 bytes, more than the 10 allowed.*max_file_bytes"):
        load(TextLoader(LoadingConfig(max_file_bytes=10)), tmp_path / "a.txt", "x" * 11)
    with pytest.raises(LoadError, match=r"more than the 10 characters allowed.*max_text_characters"):
        load(TextLoader(LoadingConfig(max_text_characters=10)), tmp_path / "a.txt", "x" * 11)


def test_markdown_marks_every_kind_of_block(tmp_path: Path) -> None:
    markdown = (
        "# Top *one*\n\nWords\nmore.\n\nUnder\n-----\n\n- a\n  - b\n\n- c\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n"
        "```py\n# no heading\n```\n\n    indented\n\n> quoted\n"
    )
    assert shown(load(MarkdownLoader(CAPS), tmp_path / "a.md", markdown)) == [
        ("heading", 1, "# Top *one*"),
        ("paragraph", 0, "Words\nmore."),
        ("heading", 2, "Under\n-----"),
        ("list", 0, "- a\n  - b\n\n- c"),
        ("table", 0, "| x | y |\n|---|---|\n| 1 | 2 |"),
        ("code", 0, "```py\n# no heading\n```"),
        ("code", 0, "    indented"),
        ("paragraph", 0, "> quoted"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_front_matter_becomes_metadata_and_stays_in_the_text(end: str, tmp_path: Path) -> None:
    lines = ["---", "title: Ducks", "date: 2024-02-03", "tags: [a, b]", "draft: no", "nested: {x: 1}", "---", "# Head"]
    document = load(MarkdownLoader(CAPS), tmp_path / "a.md", end.join(lines))
    assert document.metadata == {"title": "Ducks", "date": "2024-02-03", "tags": "a, b", "draft": False}
    assert document.text == end.join(lines)
    assert shown(document) == [("heading", 1, "# Head")]


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nA rule first.\n",
        "---\n- a\n---\n",
        "---\na: [\n---\n",
        "--- a: 1\n---\n",
        "---\na: !!python/object:x\n---\n",
    ],
)
def test_what_is_no_flat_front_matter_is_text(text: str) -> None:
    assert front_matter(text) == ({}, 0)


def test_front_matter_with_an_alias_bomb_stays_small() -> None:
    bomb = "---\na: &a [x, x, x]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert front_matter(bomb + "---\n")[0] == {"a": "x, x, x"}


def test_python_blocks_are_the_top_level_definitions(tmp_path: Path) -> None:
    source = (
        '"""Doc."""\n\nimport os\n\n# About f.\n@cache\ndef f():\n\n    return 1\n\n\nclass C:\n    def m(self):\n'
        "        pass\n\n\nX = 1\nY = 2\n"
    )
    document = load(CodeLoader(CAPS), tmp_path / "a.py", source)
    assert document.metadata == {"language": "python"}
    assert [text for _, _, text in shown(document)] == [
        '"""Doc."""\n\nimport os',
        "# About f.\n@cache\ndef f():\n\n    return 1",
        "class C:\n    def m(self):\n        pass",
        "X = 1\nY = 2",
    ]


@pytest.mark.parametrize(
    "source", ["def f(:\n", "text = 'a\0b'", "(" * 5000, "-" * 5000 + "1", "def f():\n  '\\d'\n" * 2]
)
def test_python_that_does_not_parse_falls_back_to_layout(source: str, tmp_path: Path) -> None:
    document = load(CodeLoader(CAPS), tmp_path / "a.py", source)
    assert document.text == source
    assert document.blocks


def test_other_languages_split_at_unindented_lines_after_empty_ones() -> None:
    source = "int f() {\n  a;\n\n  b;\n\n}\n\nint g() {\n}\n"
    assert [source[a:b] for a, b in unindented_spans(source)] == ["int f() {\n  a;\n\n  b;\n\n}", "int g() {\n}"]


@given(st.one_of(TEXT, MARKUP, st.text("def f():\n #x=1\r\"'\\")))
def test_code_spans_lose_no_character_that_is_not_space(text: str) -> None:
    for spans in (python_spans(text), unindented_spans(text)):
        if spans:
            assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())
            assert [edge for span in spans for edge in span] == sorted(edge for span in spans for edge in span)


@given(st.lists(st.tuples(st.sampled_from(list(BlockKind)), st.text())))
def test_a_built_text_has_its_blocks_where_it_says(parts: list[tuple[BlockKind, str]]) -> None:
    builder = TextBuilder()
    for kind, text in parts:
        builder.add(kind, text)
    text, blocks = builder.result()
    text.encode()
    check_blocks(text, blocks)
    assert builder.length == len(text)
    assert "\n\n".join(text[block.start : block.end] for block in blocks) == text
