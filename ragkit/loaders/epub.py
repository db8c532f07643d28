"""EPUB: the chapters of the book's spine, each read as HTML (EPUB 3.3, sections 4 and 5)."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ragkit.config import LoadingConfig
from ragkit.loaders.archive import check_archive
from ragkit.loaders.blocks import TextBuilder
from ragkit.loaders.decoding import decode
from ragkit.loaders.files import check_length, refusal, source_of
from ragkit.loaders.html import declared_encoding
from ragkit.loaders.metadata import scalars
from ragkit.loaders.visible import visible_text
from ragkit.schema import Document

_CONTAINER = "META-INF/container.xml"
_PAGES = ("application/xhtml+xml", "text/html")
# What zipfile, lxml (its errors are SyntaxErrors) and our look-ups raise on damaged books.
_DAMAGE = (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, EOFError, KeyError, ValueError, SyntaxError)


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
        except _DAMAGE as error:
            raise refusal(path, f"it is damaged, protected or no EPUB file ({error})") from None
        text, blocks = builder.result()
        if not text:
            raise refusal(path, "it holds no text")
        yield Document(text, source_of(path), metadata=scalars({"title": title}) if title else {}, blocks=blocks)


def _spine(book: zipfile.ZipFile) -> tuple[str, list[str]]:
    """Return the title of a book and the names of its chapters in reading order."""
    container = _parsed(book.read(_CONTAINER)).find(".//{*}rootfile")
    if container is None:
        raise ValueError("its container names no package")
    package_name = container.get("full-path") or ""
    package = _parsed(book.read(package_name))
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


def _parsed(data: bytes) -> Any:
    """Return the root of an XML document; no entity is resolved, no DTD loaded, nothing fetched."""
    from lxml import etree

    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True))
