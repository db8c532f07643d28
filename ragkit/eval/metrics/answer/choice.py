"""Multiple choice: which option a reply names, how often it is right, how often it names none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.errors import UsageError

_BARE = re.compile(r"\W*(?:(?:option|choice|answer)\W+)?([A-Za-z])\W*", re.IGNORECASE)
_LEADING = re.compile(r"\s*(?:\(([A-Za-z])\)|([A-Za-z])[).:])\s")
# a small letter without brackets would make "the answer is a dog" an A
_STATED = re.compile(
    r"\b(?:answer|option|choice)(?:\s+is)?\s*:?\s*[\"'*(\[]*((?-i:[A-Z])|(?<=[(\[])[a-z])\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ChoiceAccuracy:
    """Share of right answers, an unparseable reply counting as wrong, and the share of unparseable replies."""

    accuracy: float
    parse_failures: float
    questions: int


def chosen(reply: str | None, labels: str = "ABCD") -> str | None:
    """Return the label that `reply` names, None if it names none or several.

    Read are a bare label ("B", "(b)"), a leading one ("B. Paris"), and a stated one ("the answer is B").

    >>> [chosen(text) for text in ("(b)", "B. Paris", "I think the answer is B.", "A or B", "Paris")]
    ['B', 'B', 'B', None, None]
    """
    text = reply or ""
    bare = _BARE.fullmatch(text)
    leading = _LEADING.match(text)
    if bare is not None:
        found = {bare.group(1).upper()}
    else:
        found = {label.upper() for label in _STATED.findall(text)} & set(labels.upper())
        if not found and leading is not None:
            found = {(leading.group(1) or leading.group(2)).upper()}
    return found.pop() if len(found) == 1 and found <= set(labels.upper()) else None


def choice_accuracy(replies: Sequence[str | None], gold: Sequence[str], labels: str = "ABCD") -> ChoiceAccuracy:
    """Return the accuracy of `replies` against the `gold` labels.

    Raises UsageError for no questions, different numbers, and a gold label that is not one of `labels`.
    """
    if not gold or len(replies) != len(gold):
        raise UsageError(
            f"{len(replies)} replies and {len(gold)} gold labels were given.",
            hint="Give one of each for at least one question.",
        )
    for label in gold:
        if len(label) != 1 or label.upper() not in labels.upper():
            raise UsageError(f"The gold label {label!r} is not one of {labels!r}.", hint="Correct the data set.")
    read = [chosen(reply, labels) for reply in replies]
    right = sum(label == wanted.upper() for label, wanted in zip(read, gold, strict=True))
    return ChoiceAccuracy(right / len(gold), read.count(None) / len(gold), len(gold))
