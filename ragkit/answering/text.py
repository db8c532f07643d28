"""Sentences and content words, as the aligner sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_WIDE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_END = re.compile(
    r"[.!?]+[\"'”’)\]]*(?=\s)|[。！？]+[”’」』）]*|\n\s*\n|\n(?=\s*(?:[-*•#|]|\d+[.)]\s))|\n(?![^\S\n]*[a-z])"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|cf|al|No|Vol|Fig|Gen|Col|Lt|Sgt|Rev|Inc|Ltd|Co|"
    r"Corp|approx|ca|pp?))\.$"
)
_WORD = re.compile(rf"[{_WIDE}]+|\d[\d.,:/]*\d%?|\d%?|[^\W\d_{_WIDE}]+(?:['’][^\W\d_{_WIDE}]+)?")
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(re.findall(r"\w+", _NUMBERS))}
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an the of in on at to for from by with as and or but if then than that this these those it its he she they "
        "them his her their we our you your i me my is are was were be been being am do does did has have had will "
        "would can could may might shall should must there here what which who whom whose when where why how so such "
        "also very just into over under about between after before during through up down out off again all any both "
        "each other some only own same too s t according source sources answer question based provided yes",
    )
)
_WIDE_STOP = "[的了是在和与也就都而及着之吗呢它他她]"
NEGATIONS = frozenset(re.findall(r"\w+", "not no never none nobody nothing neither nor without cannot"))
_SUFFIXES = ("ations", "ation", "ings", "ing", "edly", "ies", "ied", "ed", "es", "ly", "s", "e")


class Sentence(NamedTuple):
    """A sentence as `[start, end)` of its text, without surrounding white space."""

    start: int
    end: int


class Word(NamedTuple):
    """A word of a sentence in its comparable form."""

    form: str
    is_number: bool
    is_name: bool
    """A number or a capitalised word: it must match, a paraphrase will not do."""


def sentences(text: str) -> list[Sentence]:
    """Return the sentences of `text` in order; a line break ends one unless the next line goes on in lower case.

    >>> [tuple(span) for span in sentences("Dr. No came. He left.")]
    [(0, 12), (13, 21)]
    """
    found, start = [], 0
    for match in _END.finditer(text):
        if match.group()[0] == "." and _ABBREVIATION.search(text[start : match.start() + 1]):
            continue
        found.append((start, match.end()))
        start = match.end()
    found.append((start, len(text)))
    return [trimmed for one in found if (trimmed := _trim(text, *one)).end > trimmed.start]


def words(text: str) -> list[Word]:
    """Return the content words of `text`: stop words left out, endings cut, numbers in one spelling.

    Chinese and Japanese characters count in overlapping pairs.
    """
    return [word for match in _WORD.finditer(text) for word in _forms(match.group(), match.start() == 0)]


def negated(text: str) -> bool:
    """Return whether `text` holds a negating word."""
    return any(
        (word := match.group().lower().replace("’", "'")) in NEGATIONS or word.endswith("n't")
        for match in _WORD.finditer(text)
    )


def _forms(raw: str, first: bool) -> Iterator[Word]:
    lowered = raw.lower().replace("’", "'").removesuffix("'s")
    if re.match(rf"[{_WIDE}]", raw):
        for run in filter(None, re.split(_WIDE_STOP, raw)):
            pairs = [run[place : place + 2] for place in range(len(run) - 1)] or [run]
            yield from (Word(pair, False, False) for pair in pairs)
    elif raw[0].isdigit():
        yield Word(re.sub(r"(?<=\d),(?=\d{3})", "", raw).strip(".,:/"), True, False)
    elif lowered in _NUMBER_WORDS:
        yield Word(_NUMBER_WORDS[lowered], lowered not in ("zero", "one"), False)
    elif lowered not in _STOP and lowered not in NEGATIONS and not lowered.endswith("n't"):
        yield Word(_stem(lowered), False, raw[0].isupper() and not first)


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: -len(suffix)]
    return word


def _trim(text: str, start: int, end: int) -> Sentence:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Sentence(start, end)
