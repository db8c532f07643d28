"""What is left of a model's reply once labels, quotation marks, lists and unfinished ends are taken off."""

from __future__ import annotations

import re

_LABEL = re.compile(
    r"^\s*(?:the\s+)?(?:summary|passage|document|answer|sentence(?: one)?|rewritten passage)\s*:\s*", re.IGNORECASE
)
_THOUGHT = re.compile(r"^.*</think>", re.DOTALL)
_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s|$)|[。！？]+[”’」』）]*")
_SHORT = re.compile(r"(?:^|[\s(\"'“‘.])(?:[^\W\d_]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|No|Fig|Inc|Ltd|Co|etc)\.$")
_QUOTES = {'"': '"', "“": "”", "'": "'", "‘": "’"}


def tidy(reply: str, sentences: int) -> str:
    """Return the first paragraph of `reply` as at most so many sentences on one line; "" where nothing is left.

    A last sentence that was broken off loses its last word, which may be a piece of one.

    >>> tidy('Summary: "It is Dr. No. He sings. And dan', 2)
    'It is Dr. No. He sings.'
    """
    paragraph = re.split(r"\n\s*\n", _bare(reply), maxsplit=1)[0]
    line = _unquoted(" ".join(paragraph.split()))
    ends = [match.end() for match in _END.finditer(line) if not _SHORT.search(line[: match.end()])]
    if len(ends) >= sentences:
        return line[: ends[sentences - 1]]
    if not ends or ends[-1] < len(line):
        whole = line[: ends[-1]] if ends else ""
        return whole or line.rpartition(" ")[0]
    return line


def sentence_count(text: str) -> int:
    """Return how many sentences of `text` end."""
    return sum(not _SHORT.search(text[: match.end()]) for match in _END.finditer(text))


def passage(reply: str) -> str:
    """Return a rewritten passage: all of its lines, without a label, a thought or quotation marks around it."""
    return _unquoted(_bare(reply))


def _bare(reply: str) -> str:
    return _LABEL.sub("", _THOUGHT.sub("", reply)).strip()


def _unquoted(text: str) -> str:
    """Return `text` without quotation marks that open at its start and close at its end."""
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[-1] not in text[1:-1]:
        return text[1:-1].strip()
    return text.lstrip('"“') if text[:1] in ('"', "“") and text.count('"') + text.count("”") < 2 else text
