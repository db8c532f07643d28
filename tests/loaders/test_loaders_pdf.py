from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit.config import LoadingConfig
from ragkit.errors import LoadError
from ragkit.loaders.pdf import PdfLoader
from ragkit.schema import Document

MakePdf = Callable[..., bytes]


def shows(words: str) -> bytes:
    return f"BT /F1 24 Tf 50 700 Td ({words}) Tj ET".encode()


def load(path: Path, content: bytes, caps: LoadingConfig | None = None) -> Document:
    path.write_bytes(content)
    (document,) = PdfLoader(caps or LoadingConfig()).load(path)
    return document


def test_pages_start_where_their_text_starts(make_pdf: MakePdf, tmp_path: Path) -> None:
    document = load(tmp_path / "a.pdf", make_pdf([shows("First page"), shows("Second"), b"", shows("Fourth")]))
    assert document.text == "First page\n\nSecond\n\n\n\nFourth"
    assert [document.text[start:].split("\n")[0] for start in document.pages] == ["First page", "Second", "", "Fourth"]
    assert [document.page_at(document.text.index(word)) for word in ("First", "Second", "Fourth")] == [1, 2, 4]
    assert document.metadata == {"pages_without_text": 1}
    assert document.source == str(tmp_path / "a.pdf")


def test_no_text_layer_is_said(make_pdf: MakePdf, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"a\.pdf: it has no text layer, and OCR is not done\..*ocrmypdf"):
        load(tmp_path / "a.pdf", make_pdf([b"0 0 m 100 100 l S"] * 2))


def test_more_pages_than_allowed_are_refused(make_pdf: MakePdf, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"it has 3 pages, more than the 2 allowed.*max_pages"):
        load(tmp_path / "a.pdf", make_pdf([shows("x")] * 3), LoadingConfig(max_pages=2))


def test_more_characters_than_allowed_are_refused(make_pdf: MakePdf, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="more than the 10 characters allowed"):
        load(tmp_path / "a.pdf", make_pdf([shows("five5")] * 3), LoadingConfig(max_text_characters=10))


def test_damage_is_said(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="it is damaged or not a PDF"):
        load(tmp_path / "a.pdf", b"%PDF-1.4\nnothing of the kind")


def test_a_compressed_page_is_read(make_pdf: MakePdf, tmp_path: Path) -> None:
    pdf = make_pdf([zlib.compress(shows("packed"))], b"/Filter/FlateDecode")
    assert load(tmp_path / "a.pdf", pdf).text == "packed"


def test_encrypted_files_ask_for_a_password(shared_data: Callable[[str], Path]) -> None:
    files = shared_data("real_formats") / "files"
    for name in ("unstructured__password.pdf", "pdfminer-six__aes-256.pdf"):
        with pytest.raises(LoadError, match=r"it is encrypted, and a password is needed"):
            list(PdfLoader(LoadingConfig()).load(files / name))


def test_lam_alef_is_in_reading_order(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("real_formats") / "files" / "docling__right_to_left_01.pdf"
    (document,) = PdfLoader(LoadingConfig()).load(path)
    assert document.text.startswith("تحسين الإنتاجية وحل المشكلات من خلال البرمجة")


def test_words_hyphenated_at_a_lines_end_stay_in_two(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("real_formats") / "files" / "sample-files__multicolumn.pdf"
    (document,) = PdfLoader(LoadingConfig()).load(path)
    assert "consectetuer adip-\niscing elit" in document.text
    assert "\ufffe" not in document.text
