from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pytest

from ragkit.config import LoadingConfig
from ragkit.errors import LoadError
from ragkit.loaders.docx import DocxLoader
from ragkit.schema import Document

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def load(path: Path, caps: LoadingConfig | None = None) -> Document:
    (document,) = DocxLoader(caps or LoadingConfig()).load(path)
    return document


def shown(document: Document) -> list[tuple[str, int, str]]:
    return [(block.kind.value, block.level, document.text[block.start : block.end]) for block in document.blocks]


def rewritten(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Return a copy of the package at `path` with every member passed through `change`."""
    target = path.with_name("changed.docx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


@pytest.fixture
def simple(tmp_path: Path) -> Path:
    word = docx.Document()
    word.core_properties.title = "Ducks"
    word.add_heading("Top", 0)
    word.add_paragraph("Some words.\tMore.")
    word.add_heading("Part", 2)
    word.add_paragraph("a", style="List Bullet")
    word.add_paragraph("b", style="List Bullet")
    table = word.add_table(2, 2)
    for index, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = f"c{index}"
    nested = table.cell(1, 1).add_table(1, 1)
    nested.cell(0, 0).text = "inner"
    word.add_paragraph("After the table.")
    word.add_paragraph("one", style="List Number")
    word.add_paragraph("two", style="List Number")
    word.save(str(tmp_path / "simple.docx"))
    return tmp_path / "simple.docx"


def test_headings_lists_and_tables_come_in_document_order(simple: Path) -> None:
    document = load(simple)
    assert shown(document) == [
        ("heading", 1, "Top"),
        ("paragraph", 0, "Some words.\tMore."),
        ("heading", 2, "Part"),
        ("list", 0, "- a\n- b"),
        ("table", 0, "c0 | c1\nc2 | c3 inner"),
        ("paragraph", 0, "After the table."),
        ("list", 0, "1. one\n2. two"),
    ]
    assert document.metadata == {"title": "Ducks"}


def test_insertions_equations_and_controls_are_read_deletions_are_not(simple: Path) -> None:
    extra = (
        "<w:p><w:ins w:id='1' w:author='x'><w:r><w:t>new</w:t></w:r></w:ins>"
        "<w:del w:id='2' w:author='x'><w:r><w:delText>old</w:delText></w:r></w:del>"
        "<m:oMath xmlns:m='http://schemas.openxmlformats.org/officeDocument/2006/math'><m:r><m:t>E=</m:t></m:r><m:f><m:num><m:r><m:t>m</m:t></m:r></m:num><m:den><m:r><m:t>2n</m:t></m:r></m:den></m:f>"
        "<m:sSup><m:e><m:r><m:t>c</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath>"
        "</w:p><w:sdt><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    )
    path = rewritten(
        simple,
        lambda name, data: (
            data.replace(b"<w:body>", f"<w:body>{extra}".encode()) if name == "word/document.xml" else data
        ),
    )
    assert load(path).text.startswith("newE=m/(2n)c^2\n\ncontrolled\n\nTop")


def test_external_entities_and_entity_bombs_stay_unresolved(simple: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("top secret")
    bomb = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    doctype = f'<!DOCTYPE d [<!ENTITY l0 "lol">{bomb}<!ENTITY x SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'

    def attack(name: str, data: bytes) -> bytes:
        if name != "word/document.xml":
            return data
        start = data.index(b"<w:document")
        return data[:start] + doctype.encode() + data[start:].replace(b"Some words.", b"&x;&l11;Some words.")

    try:
        text = load(rewritten(simple, attack)).text
    except LoadError:
        return
    assert "secret" not in text
    assert len(text) < 1000


def test_a_bomb_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.docx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(50 * 2**20))
    with pytest.raises(LoadError, match=r"bytes would expand to 52,428,800, more than 200 times as many"):
        load(path)


def test_a_bomb_that_lies_about_its_size_does_not_explode(simple: Path) -> None:
    path = rewritten(simple, lambda name, data: bytes(50 * 2**20) if name == "word/document.xml" else data)
    data = bytearray(path.read_bytes())
    # The uncompressed sizes of the local header and of the central directory, both set to 100.
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            if struct.unpack_from("<I", data, at + offset)[0] == 50 * 2**20:
                struct.pack_into("<I", data, at + offset, 100)
    path.write_bytes(data)
    with pytest.raises(LoadError, match="it is damaged or no DOCX file"):
        load(path)


@pytest.mark.parametrize("content", [b"not a zip", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_package_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(content)
    with pytest.raises(LoadError, match=r"a\.docx: it is damaged or no DOCX file"):
        load(tmp_path / "a.docx")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "x")
    (tmp_path / "a.docx").write_bytes(buffer.getvalue())
    with pytest.raises(LoadError, match="it is damaged or no DOCX file"):
        load(tmp_path / "a.docx")


def test_an_encrypted_document_asks_for_a_copy_without_password(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))
    with pytest.raises(LoadError, match=r"it is encrypted or in the old \.doc format.*without a password"):
        load(tmp_path / "a.docx")


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("docling__unit_test_headers_numbered.docx", ["1. Section 1", "1.1. Section 1.1", "1.2. Section 1.2"]),
        ("docling__docx_lists.docx", ["Test Document", "Test 1:", "Test 2:"]),
    ],
)
def test_headings_of_real_documents_carry_their_numbers(
    name: str, start: list[str], shared_data: Callable[[str], Path]
) -> None:
    document = load(shared_data("real_formats") / "files" / name)
    headings = [text for kind, _, text in shown(document) if kind == "heading"]
    position = headings.index(start[0])
    assert headings[position : position + len(start)] == start


def test_text_boxes_are_read_once(shared_data: Callable[[str], Path]) -> None:
    text = load(shared_data("real_formats") / "files" / "docling__textbox.docx").text
    assert text.count("Health Bureau of the city/county government") <= 2


def numbers(counts: list[int], formats: dict[int, Any], depth: int) -> str:
    from ragkit.loaders.docx_numbers import Level, shown_number

    return shown_number(counts, {place: Level(*level) for place, level in formats.items()}, depth)


@pytest.mark.parametrize(
    ("counts", "formats", "depth", "expected"),
    [
        ([3], {0: ("decimal", "%1.", 1)}, 0, "3."),
        ([2, 3], {0: ("upperRoman", "%1", 1), 1: ("lowerLetter", "%1.%2)", 1)}, 1, "II.c)"),
        ([28], {0: ("lowerLetter", "(%1)", 1)}, 0, "(bb)"),
        ([1994], {0: ("upperRoman", "%1", 1)}, 0, "MCMXCIV"),
        ([1], {0: ("decimal", "%1", 5)}, 0, "5"),
        ([7], {0: ("decimalZero", "%1", 1)}, 0, "07"),
    ],
)
def test_numbers_are_shown_as_word_shows_them(
    counts: list[int], formats: dict[int, Any], depth: int, expected: str
) -> None:
    assert numbers(counts + [0] * 8, formats, depth) == expected
