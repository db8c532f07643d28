"""Word's numbering definitions, and the numbers that they show (ECMA-376 part 1, section 17.9)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ragkit.loaders.docx_text import WORD, Element

if TYPE_CHECKING:
    from docx.document import Document as WordDocument

MOST_LEVELS = 9
_VALUE = WORD + "val"
_PLACE = re.compile(r"%([1-9])")
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"))
_ROMAN_LOW = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


class Level(NamedTuple):
    """One depth of a list: its number format ("decimal", "bullet", ...), its text ("%1.%2"), its first number."""

    format: str
    text: str
    start: int


def _letters(number: int) -> str:
    """Return a, b, ..., z, aa, bb, ... as Word counts."""
    return chr(ord("a") + (number - 1) % 26) * min((number - 1) // 26 + 1, 20) if number > 0 else ""


def _roman(number: int) -> str:
    numeral = ""
    left = min(number, 9999)
    for value, letters in (*_ROMAN, *_ROMAN_LOW):
        count, left = divmod(left, value)
        numeral += letters * count
    return numeral


NUMERALS: dict[str, Callable[[int], str]] = {
    "decimal": str,
    "decimalZero": lambda number: f"{number:02d}",
    "lowerLetter": _letters,
    "upperLetter": lambda number: _letters(number).upper(),
    "lowerRoman": _roman,
    "upperRoman": lambda number: _roman(number).upper(),
}


def shown_number(counts: Sequence[int], levels: Mapping[int, Level], depth: int) -> str:
    """Return the number of an item at `depth`, the numbers of the levels above put in where its text asks for them.

    `counts` has the items so far at each level; a level without any counts as one.
    """

    def numeral(match: re.Match[str]) -> str:
        place = int(match[1]) - 1
        level = levels.get(place, Level("decimal", "", 1))
        return NUMERALS.get(level.format, str)(max(counts[place], 1) - 1 + level.start)

    return _PLACE.sub(numeral, levels[depth].text)


def numbering_of(element: Element) -> tuple[str, int] | None:
    """Return the list and the depth in it that the properties of a paragraph or style name."""
    properties = element.find(f"{WORD}pPr/{WORD}numPr")
    if properties is None:
        return None
    name, depth = properties.find(WORD + "numId"), properties.find(WORD + "ilvl")
    if name is None:
        return None
    return name.get(_VALUE) or "0", min(whole_number(depth, 0), MOST_LEVELS - 1)


def list_levels(word: WordDocument) -> dict[str, dict[int, Level]]:
    """Return the levels of each list of a document, by the list's numId."""
    try:
        root = word.part.numbering_part.element
    except (KeyError, NotImplementedError):
        return {}
    abstract = {
        definition.get(WORD + "abstractNumId"): dict(map(_level, definition.findall(WORD + "lvl")))
        for definition in root.findall(WORD + "abstractNum")
    }
    lists: dict[str, dict[int, Level]] = {}
    for instance in root.findall(WORD + "num"):
        target = instance.find(WORD + "abstractNumId")
        if target is not None:
            lists[instance.get(WORD + "numId")] = abstract.get(target.get(_VALUE), {})
    return lists


def _level(element: Element) -> tuple[int, Level]:
    depth = whole_number(element, 0, WORD + "ilvl")
    kind, text, start = (element.find(WORD + name) for name in ("numFmt", "lvlText", "start"))
    return depth, Level(
        kind.get(_VALUE, "decimal") if kind is not None else "decimal",
        text.get(_VALUE, "") if text is not None else "",
        whole_number(start, 1),
    )


def whole_number(element: Element, default: int, attribute: str = _VALUE) -> int:
    """Return a non-negative attribute of `element`, `default` where there is none or it is no number."""
    value = (element.get(attribute) or "") if element is not None else ""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 9 else default
