"""Repairs a known fault of PDFium: it splits the Arabic ligature lam-alef into its letters in the wrong order."""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

_ALEF_LAM = re.compile("[\u0622\u0623\u0625\u0627]\u0644")


def lam_alef_in_order(text: str, page: PdfTextPage) -> str:
    """Return the text of `page` with lam before alef where both letters came from one glyph.

    "The" in Arabic is alef-lam too, but from two glyphs: only letters with the same origin on the page are exchanged.
    """
    candidates = [match.start() for match in _ALEF_LAM.finditer(text)]
    # With a character outside the BMP, positions in the text are no longer those of the page.
    if not candidates or page.count_chars() != len(text):
        return text
    letters = list(text)
    for index in candidates:
        if _origin(page, index) == _origin(page, index + 1):
            letters[index], letters[index + 1] = letters[index + 1], letters[index]
    return "".join(letters)


def _origin(page: PdfTextPage, index: int) -> tuple[float, float]:
    from pypdfium2 import raw

    x, y = ctypes.c_double(), ctypes.c_double()
    raw.FPDFText_GetCharOrigin(page, index, x, y)
    return x.value, y.value
