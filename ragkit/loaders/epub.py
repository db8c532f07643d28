"""EPUB: the chapters of the book's spine, each read as HTML (EPUB 3.3, sections 4 and 5)."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from ragkit.config import LoadingConfig
from ragkit.loaders.archive import PACKAGE_DAMAGE, check_archive, parsed_xml
from ragkit.loaders.blocks import TextBuilder
from ragkit.loaders.decoding import decode
from ragkit.loaders.files import check_length, refusal, source_of
from ragkit.loaders.html import declared_encoding
from ragkit.loaders.metadata import scalars
from ragkit.loaders.visible import visible_text
from ragkit.schema import Document

_CONTAINER = "META-INF/container.xml"
_PAGES = ("application/xhtml+xml", "text/html")


class EpubLoader:
    """Reads EPUB books without copy protection; the title is metadata."""

    suffixes = (".epub",)

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield one document with all chapters in reading order; raise LoadError for a damaged or protected book."""
        check_archive(path, self._caps, "EPUB")
        builder = TextBuilder()
        try:
            with zipfile.ZipFile(path) as book:
                title, chapters = _spine(book)
                for name in chapters:
                    data = book.read(name)
                    visible_text(decode(data, declared_encoding(data)).text, builder)
                    check_length(path, builder.length, self._caps)
        except PACKAGE_DAMAGE as error:
            raise refusal(path, f"it is damaged, protected or no EPUB file ({error})") from None
        text, blocks = builder.result()
        if not text:
            raise refusal(path, "it holds no text")
        yield Document(text, source_of(path), metadata=scalars({"title": title}) if title else {}, blocks=blocks)


def _spine(book: zipfile.ZipFile) -> tuple[str, list[str]]:
    """Return the title of a book and the names of its chapters in reading order."""
    container = parsed_xml(book.read(_CONTAINER)).find(".//{*}rootfile")
    if container is None:
        raise ValueError("its container names no package")
    package_name = container.get("full-path") or ""
    package = parsed_xml(book.read(package_name))
    folder = posixpath.dirname(package_name)
    pages = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
        for item in package.iterfind(".//{*}manifest/{*}item")
        if item.get("media-type") in _PAGES
    }
    chapters = [
        pages[ref.get("idref")] for ref in package.iterfind(".//{*}spine/{*}itemref") if ref.get("idref") in pages
    ]
    return (package.findtext(".//{http://purl.org/dc/elements/1.1/}title") or "").strip(), chapters
