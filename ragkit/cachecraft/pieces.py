"""From a prompt made of segments to the pieces of token ids that chunk reuse works on."""

from __future__ import annotations

import threading
from copy import deepcopy
from itertools import groupby
from typing import Any

import numpy as np

from ragkit.cachecraft.core.prompt import Ids, Kind, Layout, Piece
from ragkit.errors import UnsupportedError, UsageError
from ragkit.protocols import Prompt, Segment

SEPARATOR = "\n\n"
"""What stands behind a source in the prompts of `ragkit.answering`; it is part of the chunk's ids."""

_MARK = "RAGKIT0MESSAGE0HERE"
_GUARD = "\n"
_LABEL = 32
"""Characters that may stand before the first chunk, on its line, and count as its label."""


class Pieces:
    """Layouts of the prompts of one model. Every piece is tokenised by itself, so that no token crosses a border.

    - prefix: the chat template up to the message, and what the prompt says before the line of the first chunk;
    - chunk: its text and the line breaks behind it;
    - glue: labels such as "[1] ", and whatever else stands between two chunks;
    - question: everything after the last chunk, the end of the template included.

    The text of a prompt never becomes a special token, whatever it spells. Safe to share between threads. Raises
    UnsupportedError for a chat template that does not show a message as it is, or more than once.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Take the tokenizer of a transformers model; a copy of it is used."""
        # Whether a text may spell special tokens is a state of the tokenizer, which other threads rely on.
        self._tokenizer = deepcopy(tokenizer)
        self._lock = threading.RLock()
        self._templated = tokenizer.chat_template is not None
        self._guard = self._guarding()
        self._strips = self._templated and self._stripping()

    def layout(self, prompt: Prompt) -> Layout:
        """Return the pieces of `prompt`.

        Raises UsageError where no segment names a chunk, or nothing is asked behind the last one.
        """
        groups = _grouped(prompt)
        if not any(is_chunk for is_chunk, _ in groups):
            raise UsageError("No segment of the prompt names a chunk.", hint="Give `Segment.chunk_id`.")
        if groups[-1][0] or not groups[-1][1].strip():
            raise UsageError(
                "The prompt ends with a chunk; a question before the chunks was given, or none.",
                hint="Put the question last: keys and values of all that follows it would depend on it.",
            )
        if self._strips:
            groups = _stripped(groups)
        head, tail = self._template()
        pieces = self._opening(head, groups)
        for place, (is_chunk, text) in enumerate(groups[:-1]):
            if is_chunk:
                following = groups[place + 1]
                breaks = "" if following[0] else _breaks(following[1])
                pieces.append(Piece(Kind.CHUNK, self.ids(text + breaks)))
            elif place:
                pieces.append(Piece(Kind.GLUE, self.ids(text[len(_breaks(text)) :])))
        asked = groups[-1][1]
        pieces.append(Piece(Kind.QUESTION, np.concatenate([self.ids(asked[len(_breaks(asked)) :]), tail])))
        return Layout(tuple(piece for piece in pieces if len(piece.ids)))

    def chunk(self, text: str) -> Ids:
        """Return the ids of a chunk as `ragkit.answering` shows it: its text and the blank line behind it."""
        return self.ids(text + SEPARATOR)

    @property
    def prefix(self) -> Ids:
        """The ids of the chat template up to the message; empty without a template and a start token."""
        return self._template()[0]

    def ids(self, text: str) -> Ids:
        """Return the ids of `text` inside a message: no token is added in front, and none is special."""
        return self._tokens(text, special=False)

    def _tokens(self, text: str, *, special: bool) -> Ids:
        if not text:
            return np.zeros(0, np.int32)
        with self._lock:
            found = self._tokenizer(
                self._guard + text, add_special_tokens=False, split_special_tokens=not special, verbose=False
            )["input_ids"]
            skipped = len(self._tokenizer(self._guard, add_special_tokens=False)["input_ids"]) if self._guard else 0
        return np.asarray(found[skipped:], np.int32)

    def _opening(self, head: Ids, groups: list[tuple[bool, str]]) -> list[Piece]:
        """Return the prefix and the label of the first chunk."""
        before = "" if groups[0][0] else groups[0][1]
        line = before.rfind("\n") + 1
        told, label = (before[:line], before[line:]) if len(before) - line <= _LABEL else (before, "")
        prefix = Piece(Kind.PREFIX, np.concatenate([head, self.ids(told)]))
        return [piece for piece in (prefix, Piece(Kind.GLUE, self.ids(label))) if len(piece.ids)]

    def _template(self) -> tuple[Ids, Ids]:
        """Return what stands before and after a message; rendered anew, as templates may show the day's date."""
        if self._templated:
            head, found, tail = self._rendered(_MARK).partition(_MARK)
            if not found or _MARK in tail:
                raise _refused("shows a message changed, more than once, or not at all")
            return self._tokens(head, special=True), self._tokens(tail, special=True)
        with self._lock:
            whole = list(self._tokenizer(_MARK)["input_ids"])
            bare = list(self._tokenizer(_MARK, add_special_tokens=False)["input_ids"])
        start = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), None)
        if start is None:
            raise UnsupportedError(
                "Chunk reuse does not work with this tokenizer: its special tokens change the text's own.",
                hint="Use a model whose tokenizer adds special tokens at the ends only.",
            )
        return np.asarray(whole[:start], np.int32), np.asarray(whole[start + len(bare) :], np.int32)

    def _rendered(self, text: str) -> str:
        message = [{"role": "user", "content": text}]
        return str(self._tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False))

    def _stripping(self) -> bool:
        """Return whether the template cuts white space off the ends of a message."""
        head, _, tail = self._rendered(_MARK).partition(_MARK)
        padded = f"\n {_MARK} \n"
        shown = self._rendered(padded)
        if shown == head + padded + tail:
            return False
        if shown == head + padded.strip() + tail:
            return True
        raise _refused("changes the white space of a message")

    def _guarding(self) -> str:
        """Return what is put in front of a text and cut off again, where the tokenizer would else put a space there."""
        first = self._tokenizer.convert_ids_to_tokens(self._tokenizer("a", add_special_tokens=False)["input_ids"])
        return _GUARD if first and str(first[0]).startswith("\u2581") else ""


def _grouped(prompt: Prompt) -> list[tuple[bool, str]]:
    """Return the prompt as texts, each with whether it is a chunk; what stands between chunks is one text."""
    found: list[tuple[bool, str]] = []
    for is_chunk, group in groupby(prompt, key=lambda segment: segment.chunk_id is not None):
        segments: list[Segment] = list(group)
        texts = [segment.text for segment in segments]
        found += [(True, text) for text in texts] if is_chunk else [(False, "".join(texts))]
    return [(is_chunk, text) for is_chunk, text in found if text]


def _breaks(text: str) -> str:
    """Return the line breaks that `text` begins with."""
    return text[: len(text) - len(text.lstrip("\n"))]


def _stripped(groups: list[tuple[bool, str]]) -> list[tuple[bool, str]]:
    """Return the groups without white space at both ends of the message."""
    first, last = groups[0], groups[-1]
    groups = [(first[0], first[1].lstrip()), *groups[1:]]
    groups[-1] = (last[0], last[1].rstrip())
    return [(is_chunk, text) for is_chunk, text in groups if text]


def _refused(reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"Chunk reuse does not work with this model's chat template: it {reason}.",
        hint="Use a model whose template shows a user's message as it is.",
    )
