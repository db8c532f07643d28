"""From a prompt made of segments to the pieces of token ids that chunk reuse works on."""

from __future__ import annotations

import threading
from copy import deepcopy
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np

from ragkit.cachecraft.borders import differences
from ragkit.cachecraft.core.prompt import Ids, Kind, Layout, Piece
from ragkit.cachecraft.groups import SPACES, breaks_of, grouped, stripped
from ragkit.errors import UnsupportedError, UsageError
from ragkit.models.chat_template import prompt_ids, rendered
from ragkit.protocols import Prompt

SPACE = " "
"""What stands between a source's label and its text in the prompts of `ragkit.answering`; part of the chunk's ids."""

SEPARATOR = "\n\n"
"""What stands behind a source there; it is part of the chunk's ids too."""

_MARK = "RAGKIT0MESSAGE0HERE"
_GUARDS = {"\u2581": "\n", "\u0120": "]"}
"""What is put in front of a text and cut off again, by the sign of a tokenizer that would else put a space there."""
_NEXT = "["
"""What stands behind a source in most prompts; tokenizers look ahead from white space, and only from there."""
_KNOWN = 1024
"""Texts whose ids are remembered, as chunks and labels come back."""
_LABEL = 32
"""Characters that may stand before the first chunk, on its line, and count as its label."""


class Pieces:
    """Layouts of the prompts of one model. Every piece is tokenised by itself, so that no token crosses a border.

    - prefix: the chat template up to the message, and what the prompt says before the line of the first chunk;
    - chunk: the spaces before it, its text and the line breaks behind it;
    - glue: labels such as "[1]", and whatever else stands between two chunks;
    - question: everything after the last chunk, the end of the template included.

    Borders lie where tokenizers of the GPT-2, Llama 2 and Llama 3 families begin a new token anyway, so that the ids
    of all pieces are those of the joined prompt; where they are not, `Layout.borders` says at how many places. The text
    of a prompt never becomes a special token, whatever it spells. Safe to share between threads. Raises
    UnsupportedError for a chat template that does not show a message as it is, or more than once.
    """

    def __init__(self, tokenizer: Any, *, day: date | None = None) -> None:
        """Take the tokenizer of a transformers model, and the day that its template shows."""
        self._tokenizer = tokenizer
        # Whether a text may spell special tokens is a state of a tokenizer, on which others rely.
        self._spelling = deepcopy(tokenizer)
        self._known = lru_cache(_KNOWN)(self._inside)
        self._day = day
        self._lock = threading.RLock()
        self._templated = tokenizer.chat_template is not None
        self._special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        self._guard = self._guarding()
        self._guarded = self._encoded(self._guard)
        self._next = self._encoded(self._guard + _NEXT)[-1:]
        self._strips = self._templated and self._stripping()

    def layout(self, prompt: Prompt) -> Layout:
        """Return the pieces of `prompt`.

        Raises UsageError where no segment names a chunk, or nothing is asked behind the last one.
        """
        groups = grouped(prompt)
        if not any(is_chunk for is_chunk, _ in groups):
            raise UsageError("No segment of the prompt names a chunk.", hint="Give `Segment.chunk_id`.")
        if groups[-1][0] or not groups[-1][1].strip():
            raise UsageError(
                "The prompt ends with a chunk; a question before the chunks was given, or none.",
                hint="Put the question last: keys and values of all that follows it would depend on it.",
            )
        if self._strips:
            groups = stripped(groups)
        head, tail = self._frame()
        pieces = self._opening(head, "" if groups[0][0] else groups[0][1])
        for place, (is_chunk, text) in enumerate(groups[:-1]):
            if is_chunk:
                following = groups[place + 1]
                breaks = "" if following[0] else breaks_of(following[1])
                pieces.append(Piece(Kind.CHUNK, self.ids(text + breaks)))
            elif place:
                pieces.append(Piece(Kind.GLUE, self.ids(text[len(breaks_of(text)) :])))
        asked = groups[-1][1]
        pieces.append(Piece(Kind.QUESTION, self._closing(asked[len(breaks_of(asked)) :], tail)))
        found = tuple(piece for piece in pieces if len(piece.ids))
        return Layout(found, self._borders(found, prompt))

    def chunk(self, text: str) -> Ids:
        """Return the ids of a chunk as `ragkit.answering` shows it: a space, its text and the blank line behind it."""
        return self.ids(SPACE + text + SEPARATOR)

    @property
    def prefix(self) -> Ids:
        """The ids of the chat template up to the message; empty without a template and a start token."""
        head = self._frame()[0]
        return self._tokens(head.rstrip(SPACES), special=True, first=True) if isinstance(head, str) else head

    def ids(self, text: str) -> Ids:
        """Return the ids of `text` inside a message: no token is added in front, and none is special."""
        return self._known(text)

    def _inside(self, text: str) -> Ids:
        found = self._tokens(text, special=False)
        found.flags.writeable = False  # it is handed out again
        return found

    def _tokens(self, text: str, *, special: bool, first: bool = False) -> Ids:
        """Return the ids of a text as they are behind another one (not so if it is `first`) and before a next one."""
        if not text:
            return np.zeros(0, np.int32)
        if text[-1].isspace():
            front, skipped = ("", []) if first else (self._guard, self._guarded)
            found = self._encoded(front + text + _NEXT, special=special)
            if found[-1:] == self._next and found[: len(skipped)] == skipped:
                return np.asarray(found[len(skipped) : -1], np.int32)
        return (
            np.asarray(self._encoded(text, special=special), np.int32) if first else self._ending(text, special=special)
        )

    def _encoded(self, text: str, *, special: bool = False) -> list[int]:
        with self._lock:
            if special:
                return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
            spelled = self._spelling(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
            return list(spelled["input_ids"])

    def _opening(self, head: str | Ids, before: str) -> list[Piece]:
        """Return the prefix and the label of the first chunk, of all that is said `before` it."""
        line = before.rfind("\n") + 1
        told, label = (before[:line], before[line:]) if len(before) - line <= _LABEL else (before, "")
        if isinstance(head, str) and label and not told:
            bare = head.rstrip(SPACES)
            head, label = bare, head[len(bare) :] + label  # as the spaces before a chunk are the chunk's
        if not isinstance(head, str):
            first = np.concatenate([head, self._tokens(told, special=False, first=True)])
        elif self._spells_special(told):
            first = np.concatenate([self._tokens(head, special=True, first=True), self.ids(told)])
        else:
            first = self._tokens(head + told, special=True, first=True)
        behind = told or (isinstance(head, str) and head)
        named = self._tokens(label, special=False, first=not behind)
        return [piece for piece in (Piece(Kind.PREFIX, first), Piece(Kind.GLUE, named)) if len(piece.ids)]

    def _closing(self, asked: str, tail: str | Ids) -> Ids:
        """Return the ids of what is asked and of the template's end."""
        if not isinstance(tail, str):
            return np.concatenate([self._ending(asked, special=False), tail])
        if self._spells_special(asked):
            return np.concatenate([self.ids(asked), self._ending(tail, special=True)])
        return self._ending(asked + tail, special=True)

    def _ending(self, text: str, *, special: bool) -> Ids:
        """Return the ids of a text that nothing follows."""
        found = self._encoded(self._guard + text, special=special)
        if found[: len(self._guarded)] == self._guarded:
            return np.asarray(found[len(self._guarded) :], np.int32)
        return np.asarray(self._encoded(text, special=special), np.int32)

    def _borders(self, pieces: tuple[Piece, ...], prompt: Prompt) -> int:
        """Return at how many places the tokens of the pieces are not those of the prompt as one text."""
        own = np.concatenate([piece.ids for piece in pieces])
        with self._lock:
            joined = prompt_ids(self._tokenizer, "".join(segment.text for segment in prompt), self._day)
            if np.array_equal(own, joined):
                return 0
            names = self._tokenizer.convert_ids_to_tokens
            return differences(names(own.tolist()), names(joined))

    def _spells_special(self, text: str) -> bool:
        return any(token in text for token in self._special)

    def _frame(self) -> tuple[str, str] | tuple[Ids, Ids]:
        """Return what stands before and after a message: the template's text, or without one the tokens around it.

        A template is rendered anew for each prompt, as it may show the day.
        """
        if self._templated:
            head, found, tail = self._rendered(_MARK).partition(_MARK)
            if not found or _MARK in tail:
                raise _refused("shows a message changed, more than once, or not at all")
            return head, tail
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
        return rendered(self._tokenizer, text, self._day)

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
        """Return what keeps a tokenizer from putting a space in front of a text; empty where it puts none."""
        first = self._tokenizer.convert_ids_to_tokens(self._tokenizer("a", add_special_tokens=False)["input_ids"])
        return _GUARDS.get(str(first[0])[:1], "") if first else ""


def _refused(reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"Chunk reuse does not work with this model's chat template: it {reason}.",
        hint="Use a model whose template shows a user's message as it is.",
    )
