"""Texts of WordprocessingML elements: paragraphs, table rows, text boxes, footnotes (ECMA-376 part 1, section 17)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# An lxml element; lxml ships no types.
Element = Any

WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
TABLE = WORD + "tbl"
_PARAGRAPH = WORD + "p"
_BOX = WORD + "txbxContent"
_WRAPPERS = frozenset(WORD + name for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"))
_LITERAL = {
    WORD + "tab": "\t",
    WORD + "br": "\n",
    WORD + "cr": "\n",
    WORD + "noBreakHyphen": "-",
}
# Equations are written on one line: x^2, a_(n+1), (1)/(2), √(x).
_MATH_OPERATORS = {_MATH + "sup": "^", _MATH + "sub": "_", _MATH + "num": "", _MATH + "den": "/", _MATH + "rad": "√"}
# Moved-away text stands where it was moved to; tab stops of the properties are no text.
_SKIPPED = frozenset((WORD + "pPr", WORD + "rPr", WORD + "moveFrom", WORD + "del", _FALLBACK))


def body_elements(parent: Element) -> Iterator[Element]:
    """Yield the paragraphs and tables below `parent` in order, those inside content controls included."""
    for child in parent:
        if child.tag in (_PARAGRAPH, TABLE):
            yield child
        elif child.tag in _WRAPPERS:
            yield from body_elements(child)


def paragraph_text(paragraph: Element) -> str:
    """Return what a paragraph shows, equations and tracked insertions included, text boxes not."""
    return "".join(_pieces(paragraph))


def _pieces(element: Element) -> Iterator[str]:
    for child in element:
        if child.tag in (WORD + "t", _MATH + "t"):
            yield child.text or ""
        elif child.tag in _LITERAL:
            yield _LITERAL[child.tag]
        elif child.tag in _MATH_OPERATORS:
            inner = "".join(_pieces(child))
            yield _MATH_OPERATORS[child.tag] + (f"({inner})" if len(inner) > 1 else inner) if inner else ""
        elif child.tag == _MATH + "nary":
            yield _character(child, "chr", "∫")
            yield from _pieces(child)
        elif child.tag == _MATH + "d":
            yield _character(child, "begChr", "(")
            yield from _pieces(child)
            yield _character(child, "endChr", ")")
        elif child.tag not in _SKIPPED and child.tag != _BOX:
            yield from _pieces(child)


def _character(element: Element, name: str, default: str) -> str:
    """Return the sign that the properties of an equation's sum, integral or bracket name."""
    sign = element.find(f"*/{_MATH}{name}")
    return default if sign is None else sign.get(_MATH + "val") or ""


def text_boxes(paragraph: Element) -> Iterator[str]:
    """Yield the text of each text box anchored in a paragraph; the copy kept for old readers is left out."""
    for box in paragraph.iter(_BOX):
        if next(box.iterancestors(_FALLBACK), None) is None and next(box.iterancestors(_BOX), None) is None:
            yield _joined(box)


def table_rows(table: Element) -> list[list[str]]:
    """Return the text of each cell of each row; a nested table is part of its cell's text."""
    return [[_joined(cell) for cell in _children(row, WORD + "tc")] for row in _children(table, WORD + "tr")]


def _children(parent: Element, tag: str) -> Iterator[Element]:
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _WRAPPERS:
            yield from _children(child, tag)


def _joined(container: Element) -> str:
    """Return all paragraphs below `container`, one per line."""
    texts = (paragraph_text(paragraph).strip() for paragraph in container.iter(_PARAGRAPH))
    return "\n".join(filter(None, texts))


def footnotes(part: bytes) -> Iterator[str]:
    """Yield the text of each footnote of a footnotes part; separators have none."""
    from docx.oxml.parser import parse_xml

    for note in parse_xml(part).iter(WORD + "footnote"):
        if text := _joined(note):
            yield text
