"""Where tokens lie in a text, from the tokens' own strings, exactly or not at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ServerError

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_ESCAPED = re.compile(r"bytes:((?:\\x[0-9A-Fa-f]{2})+)")


def token_spans(text: str, tokens: Sequence[str], url: str) -> NDArray[np.int64]:
    """Return the half-open place of each token of `text` in code points, shape (n, 2).

    `tokens` are as in a vocabulary of bytes ("Ġword", as GPT-2 writes them), of pieces ("▁word", "<0x0A>", as
    SentencePiece does) or as plain text. Together they must be the text; a token that holds part of a character covers
    the whole character, as in the tokenizers package. Raises ServerError where they are another text.
    """
    wanted = text.encode("utf-8")
    for read in (_plain, _of_bytes, _of_pieces):
        pieces = [read(token) for token in tokens]
        whole = b"".join(pieces)
        if whole == wanted:
            return _spans(wanted, [len(piece) for piece in pieces])
        if read is _of_pieces and whole == b" " + wanted:  # the space that SentencePiece puts before a text
            return _spans(wanted, [len(pieces[0]) - 1, *(len(piece) for piece in pieces[1:])])
    raise ServerError(
        f"The tokens that {url} reports are not those of the text: {''.join(tokens)[:80]!r} for {text[:80]!r}.",
        hint="Its tokenizer changes the text (case, accents, spaces), so scores have no exact places; use `local`.",
    )


def _spans(content: bytes, lengths: Sequence[int]) -> NDArray[np.int64]:
    raw = np.frombuffer(content, dtype=np.uint8)
    # the code point that each byte belongs to, and one more for the end
    place = np.append(np.cumsum((raw & 0xC0) != 0x80) - 1, np.count_nonzero((raw & 0xC0) != 0x80)).astype(np.int64)
    ends = np.fromiter(accumulate(lengths), dtype=np.int64, count=len(lengths))
    starts = ends - np.asarray(lengths, dtype=np.int64)
    last = np.where(ends > starts, place[np.maximum(ends - 1, 0)] + 1, place[starts])
    return np.stack([place[starts], last], axis=1) if len(lengths) else np.zeros((0, 2), dtype=np.int64)


def _plain(token: str) -> bytes:
    escaped = _ESCAPED.fullmatch(token)
    return bytes.fromhex(escaped[1].replace("\\x", "")) if escaped else token.encode("utf-8")


def _of_bytes(token: str) -> bytes:
    table = _byte_table()
    return b"".join(table.get(character) or character.encode("utf-8") for character in token)


def _of_pieces(token: str) -> bytes:
    found = _BYTE.fullmatch(token)
    return bytes.fromhex(found[1]) if found else token.replace("▁", " ").encode("utf-8")


@cache
def _byte_table() -> dict[str, bytes]:
    """Return the byte of each character of a byte-level vocabulary: printable ones stand for themselves.

    The others are moved to the code points from 256 on, in order (Radford et al. 2019, "Language models are
    unsupervised multitask learners", the vocabulary of GPT-2).
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    table = {chr(byte): bytes([byte]) for byte in printable}
    moved = (byte for byte in range(256) if byte not in printable)
    return table | {chr(256 + number): bytes([byte]) for number, byte in enumerate(moved)}
