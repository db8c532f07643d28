"""What a Word paragraph is, by its style and numbering: a heading and its level, or a list item and its marker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ragkit.loaders.docx_numbers import (
    MOST_LEVELS,
    NUMERALS,
    list_levels,
    numbering_of,
    shown_number,
    whole_number,
)
from ragkit.loaders.docx_text import WORD, Element

if TYPE_CHECKING:
    from docx.document import Document as WordDocument

_VALUE = WORD + "val"
_HEADING_NAME = re.compile(r"heading ([1-9])")
_MAX_BASES = 20


class _Style(NamedTuple):
    level: int
    numbering: tuple[str, int] | None
    """The list (numId) and the depth in it."""


class WordStyles:
    """The paragraph styles and lists of one document; it counts numbered items, so ask in document order."""

    def __init__(self, word: WordDocument) -> None:
        self._elements = {style.get(WORD + "styleId"): style for style in word.styles.element.iter(WORD + "style")}
        self._styles: dict[str | None, _Style] = {}
        self._levels = list_levels(word)
        self._counts: dict[str, list[int]] = {}

    def heading_level(self, paragraph: Element) -> int:
        """Return the level of a heading, 1 for a title too, and 0 for any other paragraph."""
        outline = paragraph.find(f"{WORD}pPr/{WORD}outlineLvl")
        if outline is not None and (level := whole_number(outline, 9)) < 9:
            return level + 1
        return self._style(_style_id(paragraph)).level

    def marker(self, paragraph: Element) -> str:
        """Return what Word shows before a paragraph of a list, "- " for any bullet, and "" outside lists.

        The caller indents by `depth`.
        """
        numbering = self._numbering(paragraph)
        if numbering is None:
            return ""
        name, depth = numbering
        levels = self._levels.get(name, {})
        level = levels.get(depth)
        if level is None or level.format not in NUMERALS:
            return "- "
        counts = self._counts.setdefault(name, [0] * MOST_LEVELS)
        # A level that was skipped counts as one item, as in Word: after 2.1.1 comes 2.2.
        counts[:depth] = [max(count, 1) for count in counts[:depth]]
        counts[depth] += 1
        counts[depth + 1 :] = [0] * (MOST_LEVELS - depth - 1)
        return shown_number(counts, levels, depth) + " "

    def depth(self, paragraph: Element) -> int:
        """Return how deep a list item lies, 0 for the outermost list."""
        numbering = self._numbering(paragraph)
        return numbering[1] if numbering is not None else 0

    def _numbering(self, paragraph: Element) -> tuple[str, int] | None:
        numbering = numbering_of(paragraph) or self._style(_style_id(paragraph)).numbering
        return None if numbering is None or numbering[0] == "0" else numbering

    def _style(self, style_id: str | None) -> _Style:
        """Return what a style says, its base styles asked where it says nothing."""
        if style_id not in self._styles:
            self._styles[style_id] = self._resolved(style_id)
        return self._styles[style_id]

    def _resolved(self, style_id: str | None) -> _Style:
        level = 0
        numbering: tuple[str, int] | None = None
        for _ in range(_MAX_BASES):
            style = self._elements.get(style_id)
            if style is None:
                break
            level = level or _level(style)
            numbering = numbering or numbering_of(style)
            base = style.find(WORD + "basedOn")
            style_id = base.get(_VALUE) if base is not None else None
        return _Style(level, numbering)


def _level(style: Element) -> int:
    name = style.find(WORD + "name")
    label = (name.get(_VALUE) or "").lower() if name is not None else ""
    if label == "title":
        return 1
    match = _HEADING_NAME.fullmatch(label)
    if match:
        return int(match[1])
    outline = style.find(f"{WORD}pPr/{WORD}outlineLvl")
    level = whole_number(outline, 9) if outline is not None else 9
    return level + 1 if level < 9 else 0


def _style_id(paragraph: Element) -> str | None:
    style = paragraph.find(f"{WORD}pPr/{WORD}pStyle")
    return style.get(_VALUE) if style is not None else None
