"""Text that is safe to show: documents and file names come from strangers, terminals obey control characters."""

from __future__ import annotations

import os
from pathlib import Path

_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
_CONTROLS = str.maketrans({**_PICTURES, 0x7F: "\u2421", **dict.fromkeys(range(0x80, 0xA0), "\ufffd")})


def visible(text: str) -> str:
    r"""Return `text` with control characters replaced by their pictures, so that no document can drive the terminal.

    >>> visible("red \x1b[31m alert")
    'red ␛[31m alert'
    """
    return encodable(text.replace("\r\n", "\n")).translate(_CONTROLS)


def encodable(text: str) -> str:
    r"""Return `text` with lone surrogates (undecodable bytes of a file name) written out, so that it can be encoded.

    >>> encodable("caf\udce9.txt")
    'caf\\udce9.txt'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def short_path(source: str) -> str:
    """Return `source` relative to the working directory where that is shorter."""
    if not Path(source).is_absolute():
        return source
    relative = os.path.relpath(source)
    return relative if len(relative) < len(source) else source


def place(source: str, page: int | None, line: int | None) -> str:
    """Return where something stands: `file p.3`, `file:12`, or `file`.

    >>> place("report.pdf", 3, None), place("notes.md", None, 12)
    ('report.pdf p.3', 'notes.md:12')
    """
    path = visible(short_path(source)).replace("\n", "\u240a")
    if page is not None:
        return f"{path} p.{page}"
    return f"{path}:{line}" if line is not None else path
