"""What small models add around an answer: the question again, a label before it, the same thing over and over."""

from __future__ import annotations

import re

from ragkit.answering.text import sentences

_LABEL = re.compile(r"^\s*answer\s*:\s*", re.IGNORECASE)
_QUESTION_LABEL = re.compile(r"^\s*question\s*:\s*", re.IGNORECASE)
_LOOP_WORDS = 3
"""Words of a sentence whose return is a loop; shorter ones ("yes", a brace) may return for a reason."""


def tidied(reply: str, question: str, instruction: str = "") -> str:
    r"""Return `reply` without echoes of the prompt or a label, cut where a sentence comes a second time.

    >>> tidied("Question: Who?\nAnswer: It was Ada Lovelace.\n\nIt was Ada Lovelace.\n\nIt was", "Who?")
    'It was Ada Lovelace.'
    """
    echoes = {_key(question), _key(instruction)} - {""}
    lines = [line for line in reply.strip().splitlines() if _key(_QUESTION_LABEL.sub("", line)) not in echoes]
    text = "\n".join(_LABEL.sub("", line) for line in lines)
    seen: set[str] = set()
    for start, end in sentences(text):
        key = _key(text[start:end])
        if key in seen:
            return text[:start].strip()
        if key.count(" ") + 1 >= _LOOP_WORDS:
            seen.add(key)
    return text.strip()


def _key(text: str) -> str:
    """Return the words of `text`, for comparison; a leading mark such as "[4]" or "4." does not tell lines apart."""
    return " ".join(re.findall(r"\w+", re.sub(r"^\s*(?:\[\d+\]|\d+[.)])", "", text).lower()))
