"""Exact token counts and offsets over the Rust `tokenizers` package."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ragkit.errors import ModelError
from ragkit.identity import content_hash
from ragkit.models.word_table import Offsets, WordTable, is_safe_border

WINDOW = 1 << 21
"""Characters looked up at once: large enough to hide NumPy's call overhead, small enough to bound memory."""

Piece = tuple[int, int, str]
"""Which text, where in it, and the characters."""


class HfTokenizer:
    """A `Tokenizer` from a `tokenizer.json`: nothing is truncated or padded, special tokens are not added.

    Where the rules of the file make every whitespace-separated word independent of its neighbours (`word_bounded`:
    BERT and its relatives), the tokens of each different word are computed once and then looked up: the same result as
    the bare tokenizer, several times faster on natural text. Safe to share between threads.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> bare = Tokenizer(models.WordLevel({"to": 0, "be": 1, "?": 2}, unk_token="?"))
    >>> bare.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> HfTokenizer(bare.to_str()).offsets(["to be"])[0].tolist()
    [[0, 2], [3, 5]]
    """

    __slots__ = ("_added", "_bare", "_json", "_lock", "_table", "fingerprint", "word_bounded")

    def __init__(self, definition: str) -> None:
        """Take the text of a `tokenizer.json`; raise ModelError if it is not one."""
        from tokenizers import Tokenizer

        try:
            self._bare = Tokenizer.from_str(definition)
        except Exception as error:  # the package raises bare Exception
            raise ModelError(f"Not a tokenizer definition: {error}.", hint="Give a tokenizer.json file.") from error
        self._bare.no_truncation()
        self._bare.no_padding()
        self._json = definition
        self.fingerprint = content_hash("tokenizer", definition=definition)
        self.word_bounded = _is_word_bounded(json.loads(definition))
        """True if every whitespace-separated word has its own tokens, whatever stands around it."""
        self._added = [str(token) for token in _added_contents(json.loads(definition))]
        self._table = WordTable(self._encode)
        self._lock = Lock()

    @classmethod
    def from_folder(cls, folder: Path) -> HfTokenizer:
        """Return the tokenizer of the model in `folder`; raise ModelError if there is none."""
        path = folder / "tokenizer.json"
        try:
            return cls(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelError(
                f"{path}: {error.strerror}; expected the tokenizer of a model.",
                hint="Give the folder of a model with a 'fast' tokenizer.",
            ) from error
        except UnicodeDecodeError as error:
            raise ModelError(f"{path} is not UTF-8 text: {error}.", hint="Fetch the model again.") from error

    @property
    def definition(self) -> str:
        """The text of the `tokenizer.json` it was made from, for libraries that want the bare tokenizer."""
        return self._json

    def __reduce__(self) -> tuple[type[HfTokenizer], tuple[str]]:
        """Travel to other processes as the definition alone."""
        return HfTokenizer, (self._json,)

    def offsets(self, texts: Sequence[str]) -> list[Offsets]:
        """Return for each text its token spans in code points, shape (tokens, 2), in order."""
        found: list[list[Offsets]] = [[] for _ in texts]
        looked_up = self._looked_up(texts)
        for window in _windows(texts, looked_up):
            joined, starts = _join(window)
            with self._lock:
                spans = self._table.offsets(joined)
            cuts = [*np.searchsorted(spans[:, 0], starts).tolist(), len(spans)]
            for (text, offset, _), start, a, b in zip(window, starts, cuts, cuts[1:], strict=False):
                found[text].append(spans[a:b] + (offset - start))
        direct = [index for index in range(len(texts)) if index not in looked_up]
        for index, spans in zip(direct, self._encode([texts[index] for index in direct]), strict=True):
            found[index].append(spans)
        return [parts[0] if len(parts) == 1 else np.concatenate([_NONE, *parts]) for parts in found]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        counts = [0] * len(texts)
        looked_up = self._looked_up(texts)
        for window in _windows(texts, looked_up):
            joined, starts = _join(window)
            with self._lock:
                words, tokens = self._table.counts(joined)
            total = np.concatenate(([0], np.cumsum(tokens)))
            cuts = [*np.searchsorted(words, starts).tolist(), len(words)]
            for (text, _, _), a, b in zip(window, cuts, cuts[1:], strict=False):
                counts[text] += int(total[b] - total[a])
        direct = [index for index in range(len(texts)) if index not in looked_up]
        encodings = self._bare.encode_batch_fast([texts[index] for index in direct], add_special_tokens=False)
        for index, encoding in zip(direct, encodings, strict=True):
            counts[index] = len(encoding)
        return counts

    def keeps_tokens(self, text: str, position: int) -> bool:
        """Return whether cutting `text` at `position` provably leaves the tokens on both sides as they are."""
        if position <= 0 or position >= len(text):
            return True
        return self.word_bounded and (is_safe_border(text[position - 1]) or is_safe_border(text[position]))

    def _looked_up(self, texts: Sequence[str]) -> set[int]:
        """Return which texts the word table may answer: those that do not spell an added token such as "[MASK]"."""
        if not self.word_bounded:
            return set()
        return {index for index, text in enumerate(texts) if not any(token in text for token in self._added)}

    def _encode(self, texts: Sequence[str]) -> list[Offsets]:
        # Reading Encoding.offsets builds a tuple per token; np.array of that list costs another third, fromiter little.
        encodings = self._bare.encode_batch(list(texts), add_special_tokens=False)
        return [
            np.fromiter(chain.from_iterable(encoding.offsets), np.int64, 2 * len(encoding)).reshape(-1, 2)
            for encoding in encodings
        ]


_NONE = np.zeros((0, 2), np.int64)


def _windows(texts: Sequence[str], which: set[int]) -> Iterator[list[Piece]]:
    """Yield the texts in groups of about WINDOW characters; a longer text is divided, always at a safe space."""
    group: list[Piece] = []
    room = WINDOW
    for index in sorted(which):
        for offset, piece in _pieces(texts[index]):
            if group and len(piece) > room:
                yield group
                group, room = [], WINDOW
            group.append((index, offset, piece))
            room -= len(piece) + 1
    if group:
        yield group


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    while len(text) - start > WINDOW:
        end = max(text.rfind(" ", start + 1, start + WINDOW), text.rfind("\n", start + 1, start + WINDOW))
        if end < 0:  # a line without spaces: go on to the next space, however far
            later = [found for found in (text.find(" ", start + 1), text.find("\n", start + 1)) if found >= 0]
            end = min(later, default=len(text))
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def _join(window: list[Piece]) -> tuple[str, list[int]]:
    """Return the pieces joined by line ends, and where each starts."""
    texts = [piece for _, _, piece in window]
    starts = [0, *accumulate(len(text) + 1 for text in texts)]
    return "\n".join(texts), starts[:-1]


def _is_word_bounded(definition: dict[str, Any]) -> bool:
    """Return whether the rules provably treat every whitespace-separated word on its own.

    BertNormalizer works character by character, BertPreTokenizer splits at whitespace, WordPiece sees one word at a
    time. Added tokens are looked for in the raw text, so they must neither hold nor swallow whitespace.
    """
    normalizer = definition.get("normalizer") or {}
    return (
        normalizer.get("type") == "BertNormalizer"
        and bool(normalizer.get("clean_text"))
        and bool(normalizer.get("handle_chinese_chars"))
        and (definition.get("pre_tokenizer") or {}).get("type") == "BertPreTokenizer"
        and definition["model"].get("type") == "WordPiece"
        and all(_is_plain(token) for token in definition.get("added_tokens") or [])
    )


def _is_plain(token: dict[str, Any]) -> bool:
    content = token["content"]
    return not (token["lstrip"] or token["rstrip"] or token["normalized"]) and content.split() == [content]


def _added_contents(definition: dict[str, Any]) -> list[Any]:
    return [token["content"] for token in definition.get("added_tokens") or []]
