"""HTML: the visible text with its headings, lists, tables and code; nothing is fetched and no entity is defined.

selectolax (the Lexbor parser) was chosen over lxml: it follows the HTML5 rules, has no depth limit (libxml2 drops what
lies deeper than 2,048 elements), no DTD and no external entities, and took half the time or less on the same files.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from ragkit.config import LoadingConfig
from ragkit.loaders.files import check_length, decoded_or_refused, read_bytes, refusal, source_of
from ragkit.loaders.visible import visible_text
from ragkit.schema import Document

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
# What browsers do with these labels (WHATWG Encoding Standard).
_LABELS = {"iso-8859-1": "cp1252", "latin1": "cp1252", "ascii": "cp1252", "us-ascii": "cp1252", "gb2312": "gb18030"}

_CHARSETS = ("cp", "iso8859", "iso2022", "koi8", "shift_jis", "euc", "gb", "big5", "mac-", "tis-620")


class HtmlLoader:
    """Reads HTML: scripts, styles, navigation, form controls and hidden parts are left out; the title is metadata."""

    suffixes = (".html", ".htm", ".xhtml", ".xht")

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield one document, its text assembled from blocks with an empty line between them."""
        data = read_bytes(path, self._caps)
        decoded = decoded_or_refused(path, data, declared_encoding(data))
        title, builder = visible_text(decoded.text)
        text, blocks = builder.result()
        if not text:
            raise refusal(path, "the page has no visible text")
        check_length(path, len(text), self._caps)
        metadata = {**({"title": title} if title else {}), **decoded.metadata}
        yield Document(text, source_of(path), metadata=metadata, blocks=blocks)


def declared_encoding(data: bytes) -> str | None:
    """Return the Python name of the encoding that a meta element in the first 2,048 bytes declares, if there is one.

    >>> declared_encoding(b'<meta charset="ISO-8859-1">')
    'cp1252'
    """
    match = _CHARSET.search(data[:2048])
    if match is None:
        return None
    label = match[1].decode("ascii").lower()
    try:
        name = codecs.lookup(_LABELS.get(label, label)).name
    except LookupError:
        return None
    # No UTF-16, whose meta element could not be read as ASCII, and none of Python's codecs that are no charsets.
    return name if name.startswith(_CHARSETS) else None
