"""Places in a text: trimming spans to what is visible, and where a text may be cut, from best to worst."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from ragkit.schema import NO_METADATA, Metadata

_VISIBLE = re.compile(r"\S")
_CLAUSE_MARKS = (", ", "; ", ": ", " – ", " — ", "，", "；", "：", "、", "، ")
_NOT_AT_START = frozenset("，。、；：！？．…）」』】》〉〗’”ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々ๆฯ")
_NOT_AT_END = frozenset("（「『【《〈〖‘“")
_REACH = 64
"""Characters looked back for a border before the search becomes coarser: longer than almost every word."""


class Span(NamedTuple):
    """`[start, end)` of a document's text, and what is known about it."""

    start: int
    end: int
    metadata: Metadata = NO_METADATA


def skip_space(text: str, start: int, end: int) -> int:
    """Return the first position in `[start, end)` that is not whitespace, or `end`."""
    found = _VISIBLE.search(text, start, end)
    return found.start() if found else end


def trim_end(text: str, start: int, end: int) -> int:
    """Return where `text[start:end]` ends without its trailing whitespace."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return end


def cut_position(text: str, start: int, limit: int, *, clauses: bool = False) -> int:
    """Return the best place in `(start, limit]` to end a chunk that begins at `start`; always after `start`.

    In this order: after a clause mark in the second half (if asked for), between words, after punctuation, between
    grapheme clusters, anywhere.
    """
    limit = max(limit, start + 1)
    if clauses and (found := _clause_border(text, (start + limit) // 2, limit)):
        return found
    near = range(limit, max(start, limit - _REACH), -1)
    for position in near:
        if is_word_border(text, position):
            return position
    head = text[start:limit].rsplit(None, 1)
    if len(head) == 2:  # a very long word begins in the window: leave it to the next chunk
        return limit - len(head[1])
    for position in near:
        if not text[position - 1].isalnum() and is_grapheme_border(text, position):
            return position
    return next((position for position in near if is_grapheme_border(text, position)), limit)


def next_word(text: str, start: int, end: int) -> int:
    """Return the first word border in `[start, end)`, or `end`."""
    return next((position for position in range(start, end) if is_word_border(text, position)), end)


def is_word_border(text: str, position: int) -> bool:
    """Return whether no word goes on across `position`: whitespace on a side, or a script without spaces."""
    if position <= 0 or position >= len(text):
        return True
    before, after = text[position - 1], text[position]
    if before.isspace() or after.isspace():
        return not (before == "\r" and after == "\n")
    if before < "\u0e00" and after < "\u0e00":
        return False
    if not (_is_spaceless(before) or _is_spaceless(after)):
        return False
    return after not in _NOT_AT_START and before not in _NOT_AT_END and is_grapheme_border(text, position)


def is_grapheme_border(text: str, position: int) -> bool:
    """Return whether `position` lies between two grapheme clusters.

    A short form of Unicode's rules (UAX 29): CR LF, combining marks, joiners, emoji modifiers, pairs of regional
    indicators and Hangul jamo stay together.
    """
    if position <= 0 or position >= len(text):
        return True
    before, after = text[position - 1], text[position]
    if before == "\r" and after == "\n":
        return False
    if before < " " or (after < "\u0300" and before != "\u200d"):
        return True
    if _is_regional(before) and _is_regional(after):
        return _regionals_before(text, position) % 2 == 0
    return not _extends(before, after)


def _extends(before: str, after: str) -> bool:
    """Return whether `after` belongs to the same cluster as `before`."""
    return (
        "\u200d" in (before, after)
        or unicodedata.category(after)[0] == "M"
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= after <= "\U000e007f"  # tags of regional flags
        or ("\u1100" <= before <= "\u11ff" and ("\u1160" if before > "\u115f" else "\u1100") <= after <= "\u11ff")
    )


def _regionals_before(text: str, position: int) -> int:
    run = position
    while run > max(0, position - _REACH) and _is_regional(text[run - 1]):
        run -= 1
    return position - run


def _clause_border(text: str, start: int, limit: int) -> int:
    """Return the end of the last clause mark in `text[start:limit]`, or 0."""
    found = max(_CLAUSE_MARKS, key=lambda mark: text.rfind(mark, start, limit))
    at = text.rfind(found, start, limit)
    return at + len(found) if at >= 0 else 0


def _is_spaceless(character: str) -> bool:
    """Return whether `character` belongs to a script that writes words without spaces between them."""
    return (
        "\u3000" <= character <= "\u9fff"  # CJK punctuation, kana, ideographs
        or "\u0e00" <= character <= "\u0eff"  # Thai, Lao
        or "\uff01" <= character <= "\uff9f"  # full-width forms, half-width kana
        or "\u1000" <= character <= "\u109f"  # Myanmar
        or "\u1780" <= character <= "\u17ff"  # Khmer
        or "\U00020000" <= character <= "\U0003ffff"
        or "\uf900" <= character <= "\ufaff"
    )


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
