"""PPTX: slide by slide the title, texts and tables; a page of the document is a slide (ECMA-376 part 1, section 19)."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragkit.config import LoadingConfig
from ragkit.loaders.archive import PACKAGE_DAMAGE, check_archive, parsed_xml
from ragkit.loaders.blocks import TextBuilder
from ragkit.loaders.files import check_length, refusal, source_of
from ragkit.schema import BlockKind, Document

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_SLIDES = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_PRESENTATION = "ppt/presentation.xml"
_TITLES = ("title", "ctrTitle")
_GENERATED = ("sldNum", "dt", "ftr", "hdr")


class PptxLoader:
    """Reads PPTX; `Document.pages` has the start of every slide. Speaker notes and charts are left out."""

    suffixes = (".pptx", ".pptm", ".ppsx")

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield one document; raise LoadError for a damaged file and for one without text."""
        check_archive(path, self._caps, "PPTX")
        builder = TextBuilder()
        pages: list[int] = []
        try:
            with zipfile.ZipFile(path) as package:
                for name in _slide_names(package):
                    pages.append(builder.length + 2 if builder.length else 0)
                    _add_slide(parsed_xml(package.read(name)), builder)
                    check_length(path, builder.length, self._caps)
        except PACKAGE_DAMAGE as error:
            raise refusal(path, f"it is damaged or no PPTX file ({type(error).__name__}: {error})") from None
        text, blocks = builder.result()
        if not text:
            raise refusal(path, "it holds no text")
        starts = tuple(min(page, len(text)) for page in pages)
        yield Document(text, source_of(path), blocks=blocks, pages=starts)


def _slide_names(package: zipfile.ZipFile) -> list[str]:
    """Return the members that hold the slides, in the order of the show."""
    relations = parsed_xml(package.read("ppt/_rels/presentation.xml.rels"))
    targets = {relation.get("Id"): relation.get("Target") or "" for relation in relations}
    listed = parsed_xml(package.read(_PRESENTATION)).iter(f"{_SLIDES}sldId")
    return [posixpath.normpath(posixpath.join("ppt", targets[slide.get(_RELATION)])).lstrip("/") for slide in listed]


def _add_slide(slide: Any, builder: TextBuilder) -> None:
    for element in slide.iter(f"{_SLIDES}sp", f"{_DRAWING}tbl"):
        if element.tag == f"{_DRAWING}tbl":
            rows = element.iter(f"{_DRAWING}tr")
            builder.add_table([["\n".join(_paragraphs(cell)) for cell in row.iter(f"{_DRAWING}tc")] for row in rows])
            continue
        place = element.find(f"{_SLIDES}nvSpPr/{_SLIDES}nvPr/{_SLIDES}ph")
        kind = place.get("type") if place is not None else None
        if kind in _TITLES:
            builder.add(BlockKind.HEADING, " ".join(_paragraphs(element)), level=1)
        elif kind not in _GENERATED:
            builder.add(BlockKind.PARAGRAPH, "\n".join(_paragraphs(element)))


def _paragraphs(element: Any) -> list[str]:
    """Return the paragraphs of a shape or cell that have text."""
    texts = ("".join(_runs(paragraph)).strip() for paragraph in element.iter(f"{_DRAWING}p"))
    return [text for text in texts if text]


def _runs(paragraph: Any) -> Iterator[str]:
    for element in paragraph.iter(f"{_DRAWING}t", f"{_DRAWING}br"):
        yield "\n" if element.tag == f"{_DRAWING}br" else element.text or ""
