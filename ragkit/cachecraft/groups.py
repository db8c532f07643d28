"""A prompt as texts that are chunks and texts between them, each border where a new token begins in any case."""

from __future__ import annotations

from itertools import groupby

from ragkit.protocols import Prompt

Group = tuple[bool, str]
"""Whether it is a chunk, and the text."""

SPACES = " \t"


def grouped(prompt: Prompt) -> list[Group]:
    """Return the texts of `prompt`; what stands between chunks is one text, and nothing is empty.

    Spaces before a chunk are the chunk's: byte-level and sentencepiece vocabularies write a word and the space before
    it as one token, so that "The" behind "[1] " is another token than "The" alone.
    """
    found: list[Group] = []
    shown = (segment for segment in prompt if segment.text)
    for is_chunk, group in groupby(shown, key=lambda segment: segment.chunk_id is not None):
        texts = [segment.text for segment in group]
        if is_chunk:
            texts[0] = _cut_spaces(found) + texts[0]
            found += [(True, text) for text in texts]
        else:
            found.append((False, "".join(texts)))
    return [(is_chunk, text) for is_chunk, text in found if text]


def breaks_of(text: str) -> str:
    """Return the line breaks that `text` begins with."""
    return text[: len(text) - len(text.lstrip("\n"))]


def stripped(groups: list[Group]) -> list[Group]:
    """Return the groups without white space at both ends of the whole message."""
    left = list(groups)
    while left and not left[0][1].strip():
        left = left[1:]
    while left and not left[-1][1].strip():
        left = left[:-1]
    if left:
        left[0] = (left[0][0], left[0][1].lstrip())
        left[-1] = (left[-1][0], left[-1][1].rstrip())
    return left


def _cut_spaces(found: list[Group]) -> str:
    """Cut the spaces off the end of the last text, if it is no chunk, and return them."""
    if not found or found[-1][0]:
        return ""
    text = found[-1][1]
    left = text.rstrip(SPACES)
    found[-1] = (False, left)
    return text[len(left) :]
