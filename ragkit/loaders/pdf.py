"""PDF: the text layer page by page, in the order of the page's content.

pypdfium2 was chosen over pypdf and pdfminer.six: the same word recall on real documents (benchmarks/formats.py) at a
tenth and a twentieth of their time. It has one weakness, repaired in `ligatures.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.config import LoadingConfig
from ragkit.loaders.files import check_length, checked_size, refusal, source_of
from ragkit.loaders.ligatures import lam_alef_in_order
from ragkit.loaders.metadata import scalars
from ragkit.schema import Document, MetadataValue

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_PASSWORD = 4
# Codes of fonts that map their glyphs to no character come out as control characters: they are no text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\uffff]")
_BETWEEN_PAGES = "\n\n"


class PdfLoader:
    """Reads PDF; `Document.pages` has the start of every page. Words hyphenated at a line's end are left in two."""

    suffixes = (".pdf",)

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield one document; raise LoadError for an encrypted or damaged file and for one without a text layer."""
        checked_size(path, self._caps)
        pdf = _opened(path)
        try:
            if len(pdf) > self._caps.max_pages:
                raise refusal(
                    path,
                    f"it has {len(pdf):,} pages, more than the {self._caps.max_pages:,} allowed",
                    hint="Raise loading.max_pages, or split the file.",
                )
            texts, damaged = self._page_texts(path, pdf)
            title = _title(pdf)
        finally:
            pdf.close()
        empty = sum(1 for text in texts if not text)
        if empty == len(texts):
            raise refusal(path, "it has no text layer, and OCR is not done", hint="Run OCR on it first (ocrmypdf).")
        metadata: dict[str, MetadataValue] = dict(scalars({"title": title})) if title else {}
        if empty:
            metadata["pages_without_text"] = empty
        if damaged:
            metadata["damaged_pages"] = damaged
        yield Document(_BETWEEN_PAGES.join(texts), source_of(path), metadata=metadata, pages=_starts(texts))

    def _page_texts(self, path: Path, pdf: PdfDocument) -> tuple[list[str], int]:
        """Return the text of every page, empty for a damaged one, and the number of damaged ones."""
        from pypdfium2 import PdfiumError

        texts: list[str] = []
        damaged = length = 0
        for number in range(len(pdf)):
            try:
                texts.append(_page_text(pdf, number))
            except PdfiumError:
                texts.append("")
                damaged += 1
            length += len(texts[-1])
            check_length(path, length, self._caps)
        return texts, damaged


def _opened(path: Path) -> PdfDocument:
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        return PdfDocument(path)
    except PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD:
            raise refusal(
                path,
                "it is encrypted, and a password is needed",
                hint="Save a copy without a password, and index that.",
            ) from None
        raise refusal(path, f"it is damaged or not a PDF ({error})") from None
    except OSError as error:
        raise refusal(path, f"cannot be opened: {error.strerror}", hint="Check its permissions.") from error


def _title(pdf: PdfDocument) -> str:
    try:
        return str(pdf.get_metadata_value("Title")).strip()
    except UnicodeDecodeError:
        return ""


def _page_text(pdf: PdfDocument, number: int) -> str:
    page = pdf[number]
    try:
        text_page = page.get_textpage()
        try:
            text = lam_alef_in_order(text_page.get_text_range(), text_page)
        finally:
            text_page.close()
    finally:
        page.close()
    # U+FFFE is where PDFium took out a hyphen and the line's end.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufffe", "-\n")
    return _CONTROLS.sub("", lines).strip()


def _starts(texts: list[str]) -> tuple[int, ...]:
    """Return the start of each page in the joined text."""
    starts = [0]
    for text in texts[:-1]:
        starts.append(starts[-1] + len(text) + len(_BETWEEN_PAGES))
    return tuple(starts)
