"""Whether a model's words are backed by a document: names and numbers, exact quotes, tokens that survive.

These checks read letters, not meaning: they find an invented name or number and a lost sentence, not a wrong "not".
Scripts without capitals are checked for numbers only.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_WIDE = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+|[^\w\s]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_POSSESSIVE = re.compile(r"['’]s?$")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+)[\"'“‘(]*$")


def _listed(words: str) -> list[str]:
    return words.split()


_SMALL = _listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_SMALL)} | {
    word: str(value)
    for word, value in {
        **{"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90},
        **{"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9},
    }.items()
}
_NO_QUANTITY = {"zero", "one"}
"""Number words that say no number most of the time: "one of them"."""

_OPENERS = frozenset(
    _listed(
        "a about after all also although an and as at because before both but by during each every for from he her "
        "here his how however i if in it its many most no not of on one or several she since so some that the their "
        "then there these they this those though to we what when where which while who why with you passage "
        "document text topic"
    )
)
"""Words that may begin a sentence without being a name."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The numbers and the capitalised words of a text, in a comparable form, with the form they came in."""

    numbers: dict[str, str]
    names: dict[str, str]


class Vocabulary:
    """What a text backs: its words, numbers and phrases, looked up any number of times."""

    def __init__(self, text: str) -> None:
        self._text = unicodedata.normalize("NFKC", text)

    def invented(self, text: str) -> str | None:
        """Return the first number or capitalised word of `text` that this vocabulary does not hold, None if all do.

        >>> Vocabulary("Ada Lovelace wrote 3 notes.").invented("Lovelace wrote three notes in 1843.")
        '1843'
        """
        made = claims(text)
        for number, shown in made.numbers.items():
            if number not in self._numbers:
                return shown
        for name, shown in made.names.items():
            if name not in self._words:
                return shown
        return None

    def holds(self, phrase: str) -> bool:
        """Return whether `phrase` stands in the text as whole words; case and the width of blanks do not matter."""
        wanted = _plain(phrase)
        if not wanted:
            return False
        before, after = _spaced(wanted[0]), _spaced(wanted[-1])
        at = self._plain.find(wanted)
        while at >= 0:
            end = at + len(wanted)
            inside = (before and at > 0 and _spaced(self._plain[at - 1])) or (
                after and end < len(self._plain) and _spaced(self._plain[end])
            )
            if not inside:
                return True
            at = self._plain.find(wanted, at + 1)
        return False

    @cached_property
    def _plain(self) -> str:
        return _plain(self._text)

    @cached_property
    def _words(self) -> set[str]:
        return {_folded(match.group()) for match in _WORD.finditer(self._text)}

    @cached_property
    def _numbers(self) -> set[str]:
        digits = {_number(match.group()) for match in _NUMBER.finditer(self._text)}
        return digits | {_NUMBER_WORDS[word] for word in self._words if word in _NUMBER_WORDS}


def claims(text: str) -> Claims:
    """Return what of `text` must be backed; a word that begins a sentence counts unless it is a common opener."""
    plain = unicodedata.normalize("NFKC", text)
    numbers = {_number(match.group()): match.group() for match in _NUMBER.finditer(plain)}
    names: dict[str, str] = {}
    for match in _WORD.finditer(plain):
        word = match.group()
        folded = _folded(word)
        if folded in _NUMBER_WORDS and folded not in _NO_QUANTITY:
            numbers.setdefault(_NUMBER_WORDS[folded], word)
        elif word == word.lower() or word == "I":
            continue
        elif not _opens(word, plain[max(0, match.start() - 8) : match.start()]):
            names.setdefault(folded, word)
    return Claims(numbers, names)


def _opens(word: str, before: str) -> bool:
    """Return whether `word` is a common first word after `before`; in capitals it is a label of the prompt instead."""
    plain = word.casefold() in _OPENERS and not (word.isupper() and len(word) > 1)
    return plain and _SENTENCE_START.search(before) is not None


def occurs(phrase: str, text: str) -> bool:
    """Return whether `Vocabulary(text)` holds `phrase`.

    >>> occurs("it", "With it."), occurs("it", "with"), occurs("", "anything")
    (True, False, False)
    """
    return Vocabulary(text).holds(phrase)


def words(text: str) -> set[str]:
    """Return the words of more than three letters, numbers and wide characters of `text`, folded."""
    found = {token.casefold() for token in tokens(unicodedata.normalize("NFKC", text))}
    return {token for token in found if len(token) > 3 or not token.isascii() or token.isdigit()}


def tokens(text: str) -> list[str]:
    """Return words, single wide characters and punctuation marks of `text`, in order."""
    return _TOKEN.findall(text)


def survival(original: str, rewritten: str) -> float:
    """Return the share of the tokens of `original` that stand in `rewritten` in the same order, 1.0 for an empty one.

    The length of the longest common subsequence over that of `original`.

    >>> survival("it was late", "it (the train) was late"), survival("a b c d", "d c b a")
    (1.0, 0.25)
    """
    from rapidfuzz.distance import LCSseq

    before = tokens(original)
    if not before:
        return 1.0
    return LCSseq.similarity(before, tokens(rewritten)) / len(before)


def _number(raw: str) -> str:
    return _THOUSANDS.sub("", raw)


def _folded(word: str) -> str:
    return _POSSESSIVE.sub("", word.casefold())


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _spaced(character: str) -> bool:
    """Return whether `character` is of a script that puts spaces between words."""
    return character.isalnum() and re.match(rf"[{_WIDE}]", character) is None
