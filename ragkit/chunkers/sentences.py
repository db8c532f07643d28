"""Where sentences begin: one regular expression for candidates, a few rules to refuse the false ones.

Rules rather than a model, because a chunker reads everything that is indexed: this runs at tens of megabytes a second
and gives the same spans everywhere. Covered: English and other languages with case (abbreviations, initials, decimals,
closing quotes), Chinese and Japanese stops, danda, Arabic and Urdu stops, Thai by its spaces.
"""

from __future__ import annotations

import re
from itertools import pairwise

_CLOSERS = "\"'”’»)\\]}」』）】》〉〗"
_OPENERS = "\"'“‘«([{「『（【《〈〖¿¡*_"
_WIDE_STOPS = "。！？｡।॥؟۔։።፧។။"

_ITEM = r"[ \t]*(?:[-*+•▪◦|]|\(?(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z])[.)]|\([ivxlc]{1,5}\))[ \t]"
_THAI = "\u0e00-\u0e7f"

# Bounded, possessive repeats: a line of a million dots must cost a million steps, not their square.
# One leading set of characters, then what it must be: the engine skips to a set five times faster than to alternatives.
_CANDIDATE = re.compile(
    rf"[.!?…{_WIDE_STOPS}{_THAI}\n](?:"
    rf"(?<=[.!?…])[.!?…]{{0,9}}+[{_CLOSERS}]{{0,9}}+(?:[ \xa0\u202f]»)?(?:\[\d{{1,4}}\]){{0,9}}+"
    r"\s+"  # needed after such a stop: 3.14, example.org
    rf"|(?<=[{_WIDE_STOPS}])[{_WIDE_STOPS}!?…]*[{_CLOSERS}]*\s*"
    rf"|(?<=\n)(?:[^\S\n]*\n\s*|(?={_ITEM}))"  # a blank line, a list item, a table row
    rf"|(?<=[{_THAI}])[ ]+(?=[{_THAI}]))"
)
_LINE_BORDER = re.compile(rf"[^\S\n]*\n(?:[^\S\n]*\n|{_ITEM})")
_ENUMERATOR = re.compile(r"\d{1,3}(?:\.\d{1,3})*$|[A-Za-z]$")
_NEXT_WORD = re.compile(rf"[{re.escape(_OPENERS)}]*([^\s,.;:!?'’)]*)")
_LAST_WORD = re.compile(r"[^\s()\[\]{}\"“”‘’«»,;/—–]+$")


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_TITLES = _words(
    "mr mrs ms dr prof st messrs gen sen rep gov capt lt col sgt cmdr adm maj rev hon pres supt fr sr sra dra mme mlle "
    "vs cf eg ie viz approx ca al dept est resp bzw vgl usw evtl ggf inkl z.b d.h u.a e.g i.e"
)
"""Never the end of a sentence."""

_BEFORE_NUMBERS = _words(
    "no nos nr fig figs vol vols pp p sec secs art arts ch chs eq eqs tab app para cl ex pt pts ver op "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
"""Not the end where a number follows."""

_AMBIGUOUS = _words("inc ltd co corp llc plc bros jr etc ph.d m.d b.a m.a a.m p.m esq ave blvd rd u.s u.k u.n")
"""The end only where a word follows that likes to begin sentences."""

_STARTERS = _words(
    "a after all also although an and another as at because before both but by despite during each even every few for "
    "from he her here his how however i if in instead is it its later many meanwhile moreover most my nevertheless no "
    "not now of on once one only our several she since so some such that the their then there therefore these they "
    "this those though through thus to today two under until we what when where whether which while who why with yet "
    "you your"
)


def sentence_starts(text: str, start: int = 0, end: int | None = None) -> list[int]:
    """Return where sentences of `text[start:end]` begin, the first one's start left out, ascending.

    >>> text = "Dr. Who paid 3.50. Why? Nobody knows."
    >>> [text[at:] for at in sentence_starts(text)]
    ['Why? Nobody knows.', 'Nobody knows.']
    """
    end = len(text) if end is None else end
    starts: list[int] = []
    for candidate in _CANDIDATE.finditer(text, start, end):
        mark, following = candidate.span()
        if following < end and _is_end(text, start, mark, following):
            starts.append(following)
    return starts


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return the spans of the sentences of `text`, without the whitespace between them.

    >>> split_sentences(" One. Two! ")
    [(1, 5), (6, 10)]
    """
    borders = [0, *sentence_starts(text), len(text)]
    spans = []
    for first, last in pairwise(borders):
        piece = text[first:last]
        body = piece.strip()
        if body:
            begin = first + len(piece) - len(piece.lstrip())
            spans.append((begin, begin + len(body)))
    return spans


def _is_end(text: str, start: int, mark: int, following: int) -> bool:
    """Return whether the candidate at `mark` ends a sentence that `text[following]` does not go on."""
    character = text[mark]
    after = text[following]
    if character not in ".!?…":
        # 「何？」と言った: a quotation that the sentence goes on with
        return not (text[following - 1] in "」』" and after in "とっ")
    if after.islower() and text[following - 1] != "\n":
        return False
    return _is_stop(text, start, mark, following)


def _is_stop(text: str, start: int, mark: int, following: int) -> bool:
    gap = text.find("\n", mark, following)
    if gap >= 0 and _LINE_BORDER.match(text, gap):
        return True
    upcoming = _NEXT_WORD.match(text, following)
    word = upcoming.group(1) if upcoming else ""
    if word[:1].islower():
        return False
    if text[mark] != "." or text.startswith("..", mark):
        return True
    return not _is_abbreviation(text, start, mark, word)


def _is_abbreviation(text: str, start: int, mark: int, upcoming: str) -> bool:
    """Return whether the full stop at `mark` belongs to the word before it."""
    if mark - start >= 7 and text[mark - 7 : mark].isalpha():  # no abbreviation is that long; most sentences end so
        return False
    found = _LAST_WORD.search(text, max(start, mark - 24), mark)
    if found is None:
        return False
    word = found.group()
    if _ENUMERATOR.match(word) and _begins_line(text, start, found.start()):
        return True  # "1. Introduction"
    if len(word) == 1 and word.isupper():  # an initial; "Plan B. The" is the rarer case and told by what follows
        return upcoming.lower() not in _STARTERS or upcoming == "I"
    lowered = word.lower()
    if lowered in _TITLES or lowered in _BEFORE_NUMBERS:
        return lowered in _TITLES or upcoming[:1].isdigit()
    return (lowered in _AMBIGUOUS or _is_dotted(word)) and upcoming.lower() not in _STARTERS


def _begins_line(text: str, start: int, position: int) -> bool:
    """Return whether only blanks and an opening bracket precede `position` on its line (16 characters at most)."""
    floor = max(start, position - 16)
    head = text[floor:position]
    return ("\n" in head or floor == start) and not head[head.rfind("\n") + 1 :].strip(" \t(")


def _is_dotted(word: str) -> bool:
    """Return whether `word` is letters between dots: U.S, J.R.R, p.m."""
    return "." in word and all(len(part) == 1 and part.isalpha() for part in word.split("."))
