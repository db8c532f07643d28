"""DOCX: headings, paragraphs, lists, tables, text boxes, equations and footnotes in document order.

python-docx opens the package and resolves styles; the text of a paragraph is read from its elements, since
`Paragraph.text` leaves out equations, text boxes and tracked insertions. Running headers and footers are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.config import LoadingConfig
from ragkit.loaders.archive import PACKAGE_DAMAGE, check_archive
from ragkit.loaders.blocks import TextBuilder
from ragkit.loaders.docx_styles import WordStyles
from ragkit.loaders.docx_text import (
    TABLE,
    Element,
    body_elements,
    footnotes,
    paragraph_text,
    table_rows,
    text_boxes,
)
from ragkit.loaders.files import check_length, checked_size, refusal, source_of
from ragkit.loaders.magic import format_of
from ragkit.loaders.metadata import scalars
from ragkit.schema import BlockKind, Document

if TYPE_CHECKING:
    from docx.document import Document as WordDocument

_FOOTNOTES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"


class DocxLoader:
    """Reads DOCX; headings keep their level, list items their marker, table rows are lines joined by " | "."""

    suffixes = (".docx", ".docm", ".dotx")

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield one document; raise LoadError for a damaged or encrypted package and for one that would explode."""
        self._check(path)
        try:
            word = _opened(path)
            reader = _Reader(word)
            reader.read()
            title = (word.core_properties.title or "").strip()
        except PACKAGE_DAMAGE as error:
            raise refusal(path, f"it is damaged or no DOCX file ({type(error).__name__}: {error})") from None
        text, blocks = reader.builder.result()
        if not text:
            raise refusal(path, "it holds no text")
        check_length(path, len(text), self._caps)
        yield Document(text, source_of(path), metadata=scalars({"title": title}) if title else {}, blocks=blocks)

    def _check(self, path: Path) -> None:
        """Raise LoadError for an encrypted document and for a package that is none or would expand too far."""
        checked_size(path, self._caps)
        try:
            with path.open("rb") as file:
                found = format_of(file.read(8)) or ""
        except OSError as error:
            raise refusal(path, f"cannot be opened: {error.strerror}", hint="Check its permissions.") from error
        if "password" in found:
            raise refusal(
                path,
                "it is encrypted or in the old .doc format",
                hint="Save a copy as .docx without a password, and index that.",
            )
        check_archive(path, self._caps, "DOCX")


def _opened(path: Path) -> WordDocument:
    import docx
    from docx.opc.exceptions import OpcError
    from lxml.etree import LxmlError

    try:
        return docx.Document(str(path))
    except (OpcError, LxmlError) as error:
        raise ValueError(str(error)) from None


class _Reader:
    """One pass over the body; consecutive list items make one list block."""

    def __init__(self, word: WordDocument) -> None:
        self.builder = TextBuilder()
        self._word = word
        self._styles = WordStyles(word)
        self._list_lines: list[str] = []

    def read(self) -> None:
        """Read the body, then the footnotes."""
        for element in body_elements(self._word.element.body):
            if element.tag == TABLE:
                self._end_list()
                self.builder.add_table(table_rows(element))
            else:
                self._paragraph(element)
        self._end_list()
        for part in self._word.part.rels.values():
            if part.reltype == _FOOTNOTES and not part.is_external:
                for note in footnotes(part.target_part.blob):
                    self.builder.add(BlockKind.PARAGRAPH, note)

    def _paragraph(self, element: Element) -> None:
        text = paragraph_text(element)
        level = self._styles.heading_level(element)
        marker = self._styles.marker(element) if text.strip() else ""
        if level and text.strip():
            self._end_list()
            self.builder.add(BlockKind.HEADING, f"{marker.removeprefix('- ')}{' '.join(text.split())}", level)
        elif marker:
            indent = "  " * self._styles.depth(element)
            self._list_lines.append(f"{indent}{marker}{' '.join(text.split())}")
        elif text.strip():
            self._end_list()
            self.builder.add(BlockKind.PARAGRAPH, text)
        for box in text_boxes(element):
            self._end_list()
            self.builder.add(BlockKind.PARAGRAPH, box)

    def _end_list(self) -> None:
        if self._list_lines:
            self.builder.add(BlockKind.LIST, "\n".join(self._list_lines))
            self._list_lines = []
