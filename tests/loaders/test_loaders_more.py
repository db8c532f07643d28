"""EPUB, PPTX and e-mail."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ragkit.config import LoadingConfig
from ragkit.errors import LoadError
from ragkit.loaders.epub import EpubLoader
from ragkit.loaders.mail import MailLoader
from ragkit.loaders.pptx import PptxLoader
from ragkit.schema import Document

CONTAINER = '<container xmlns="c"><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
PACKAGE = (
    '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<dc:title>Ducks</dc:title></metadata><manifest>"
    '<item id="two" href="ch%202.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="img" href="a.png" media-type="image/png"/></manifest>'
    '<spine><itemref idref="one"/><itemref idref="img"/><itemref idref="two"/></spine></package>'
)


def book(path: Path, **changed: str) -> Path:
    members = {
        "META-INF/container.xml": CONTAINER,
        "OPS/book.opf": PACKAGE,
        "OPS/one.xhtml": "<html><body><h1>One</h1><p>First.</p></body></html>",
        "OPS/ch 2.xhtml": "<html><body><h1>Two</h1></body></html>",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, **changed}.items():
            archive.writestr(name, content)
    return path


def load(loader: EpubLoader | MailLoader | PptxLoader, path: Path) -> Document:
    (document,) = loader.load(path)
    return document


def test_chapters_come_in_the_order_of_the_spine(tmp_path: Path) -> None:
    document = load(EpubLoader(LoadingConfig()), book(tmp_path / "a.epub"))
    assert document.text == "One\n\nFirst.\n\nTwo"
    assert document.metadata == {"title": "Ducks"}
    assert [block.level for block in document.blocks] == [1, 0, 1]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"META-INF/container.xml": "<container/>"}, "names no package"),
        ({"OPS/book.opf": "<package"}, "damaged, protected or no EPUB"),
        ({"OPS/book.opf": PACKAGE.replace("one.xhtml", "gone.xhtml")}, "There is no item named 'OPS/gone.xhtml'"),
        ({"OPS/one.xhtml": "\0" * 100}, "looks binary"),
        ({"OPS/book.opf": "<package/>"}, "it holds no text"),
    ],
)
def test_damaged_books_are_refused(changed: dict[str, str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=reason):
        load(EpubLoader(LoadingConfig()), book(tmp_path / "a.epub", **changed))


def test_no_external_entity_of_a_book_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("top secret")
    attack = f'<!DOCTYPE p [<!ENTITY x SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'
    package = attack + PACKAGE.replace("Ducks", "&x;")
    document = load(EpubLoader(LoadingConfig()), book(tmp_path / "a.epub", **{"OPS/book.opf": package}))
    assert "secret" not in str(document.metadata) + document.text


def test_a_message_has_its_headers_and_its_plain_text(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(
        b"From: A <a@example.org>\r\nTo: b@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: multipart/alternative; boundary="y"'
        b"\r\n\r\n--y\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nSch\xf6n.\r\n\r\nBye.\r\n--y\r\n"
        b"Content-Type: text/html\r\n\r\n<p>No</p>\r\n--y--\r\n--x\r\nContent-Type: application/pdf\r\n"
        b"Content-Disposition: attachment\r\n\r\nx\r\n--x--\r\n"
    )
    document = load(MailLoader(LoadingConfig()), tmp_path / "a.eml")
    assert document.text.startswith("Grüße\n\nFrom: A <a@example.org>\nTo: b@example.org\nDate: ")
    assert document.text.endswith("\n\nSchön.\n\nBye.")
    assert (document.metadata["title"], document.metadata["attachments"]) == ("Grüße", 1)


def test_html_is_read_where_there_is_no_plain_text_and_a_wrong_charset_does_no_harm(tmp_path: Path) -> None:
    head = b"From: a@example.org\nSubject: s\nContent-Type: text/%b; charset=%b\n\n"
    (tmp_path / "a.eml").write_bytes(head % (b"html", b"utf-8") + b"<p>one</p><script>x</script><ul><li>two</ul>")
    assert load(MailLoader(LoadingConfig()), tmp_path / "a.eml").text.endswith("one\n\n- two")
    (tmp_path / "b.eml").write_bytes(head % (b"plain", b"no-such") + b"words")
    assert load(MailLoader(LoadingConfig()), tmp_path / "b.eml").text.endswith("words")


@pytest.mark.parametrize(
    ("content", "reason"), [(b"just words", "it has no From header"), (b"From: a@b\nSubject: s\n\n", "no text")]
)
def test_what_is_no_message_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(content)
    with pytest.raises(LoadError, match=reason):
        load(MailLoader(LoadingConfig()), tmp_path / "a.eml")


NAMES = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)


def shape(kind: str, text: str) -> str:
    place = f"<p:nvSpPr><p:nvPr><p:ph type='{kind}'/></p:nvPr></p:nvSpPr>"
    return f"<p:sp>{place}<p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"


def slide(title: str, body: str) -> str:
    return f"<p:sld {NAMES}><p:cSld>{shape('title', title)}{body}{shape('sldNum', '77')}</p:cSld></p:sld>"


def show(path: Path, **changed: str) -> Path:
    cells = "".join(f"<a:tc><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:tc>" for text in "xy")
    listed = "".join(f'<p:sldId r:id="{name}"/>' for name in ("b", "empty", "a"))
    targets = {"a": "slides/1.xml", "b": "/ppt/slides/2.xml", "empty": "slides/3.xml"}
    relations = "".join(f'<Relationship Id="{name}" Target="{target}"/>' for name, target in targets.items())
    members = {
        "ppt/presentation.xml": f"<p:presentation {NAMES}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": f"<Relationships>{relations}</Relationships>",
        "ppt/slides/1.xml": slide("Last", ""),
        "ppt/slides/2.xml": slide("First", f"<a:tbl><a:tr>{cells}</a:tr></a:tbl>"),
        "ppt/slides/3.xml": slide("", ""),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, **changed}.items():
            archive.writestr(name, content)
    return path


def test_slides_are_pages_in_the_order_of_the_show(tmp_path: Path) -> None:
    document = load(PptxLoader(LoadingConfig()), show(tmp_path / "a.pptx"))
    assert document.text == "First\n\nx | y\n\nLast"
    assert [document.page_at(document.text.index(word)) for word in ("First", "x", "Last")] == [1, 1, 3]
    assert [block.kind.value for block in document.blocks] == ["heading", "table", "heading"]


@pytest.mark.parametrize(
    "changed", [{"ppt/slides/1.xml": "<p"}, {"ppt/presentation.xml": ""}, {"ppt/_rels/presentation.xml.rels": "<x/>"}]
)
def test_damaged_shows_are_refused(changed: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="it is damaged or no PPTX file"):
        load(PptxLoader(LoadingConfig()), show(tmp_path / "a.pptx", **changed))
