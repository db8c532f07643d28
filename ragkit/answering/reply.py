"""What small models add around an answer: the question again, a label before it, the same line over and over."""

from __future__ import annotations

import re

_LABEL = re.compile(r"^\s*answer\s*:\s*", re.IGNORECASE)
_QUESTION_LABEL = re.compile(r"^\s*question\s*:\s*", re.IGNORECASE)
_LOOP_WORDS = 4
"""Words of a line whose return is a loop; shorter lines ("yes", a brace) may return for a reason."""


def tidied(reply: str, question: str) -> str:
    """Return `reply` without an echo of the question, without a label, and cut where a line comes a second time.

    >>> tidied("Question: Who?\\nAnswer: It was Ada Lovelace.\\n\\nIt was Ada Lovelace.\\n\\nIt was", "Who?")
    'It was Ada Lovelace.'
    """
    kept: list[str] = []
    seen: set[str] = set()
    for line in reply.strip().splitlines():
        key = _key(_QUESTION_LABEL.sub("", line))
        if key == _key(question):
            continue
        bare = _LABEL.sub("", line)
        key = _key(bare)
        if key in seen:
            break
        if key.count(" ") + 1 >= _LOOP_WORDS:
            seen.add(key)
        kept.append(bare)
    return "\n".join(kept).strip()


def _key(text: str) -> str:
    """Return the words of `text`, for comparison."""
    return " ".join(re.findall(r"\w+", text.lower()))
