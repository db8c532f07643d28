"""Results of language models as bytes for the cache: small and exact, None instead of a guess where they do not fit."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from ragkit.inference import TokenScores

_HEAD = struct.Struct("<IIf")
"""Tokens of the prompt, tokens of the reply, seconds: what the result once took."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A result and what it once took."""

    value: Any
    prompt_tokens: int
    reply_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of result is written; `read` returns None for bytes that are no such result."""

    write: Callable[[Any], bytes | None]
    read: Callable[[bytes], Any]

    def pack(self, stored: Stored) -> bytes | None:
        """Return the bytes of a result, None if it cannot be written."""
        content = self.write(stored.value)
        if content is None:
            return None
        return _HEAD.pack(stored.prompt_tokens, stored.reply_tokens, stored.seconds) + content

    def unpack(self, content: bytes) -> Stored | None:
        """Return the result in `content`, None if there is none."""
        if len(content) < _HEAD.size:
            return None
        value = self.read(content[_HEAD.size :])
        return None if value is None else Stored(value, *_HEAD.unpack_from(content))


def text_form() -> Form:
    """Return the form of replies."""
    return Form(lambda text: text.encode("utf-8", "surrogatepass"), lambda raw: raw.decode("utf-8", "surrogatepass"))


def record_form(schema: type[BaseModel]) -> Form:
    """Return the form of instances of `schema`: JSON; those that JSON does not give back as they were are not kept."""

    def read(content: bytes) -> BaseModel | None:
        try:
            return schema.model_validate_json(content)
        except ValidationError:
            return None

    def write(record: BaseModel) -> bytes | None:
        content = record.model_dump_json(by_alias=True).encode("utf-8")
        return content if read(content) == record else None

    return Form(write, read)


def score_form() -> Form:
    """Return the form of token scores: steps between the tokens' places, compressed, and float32 values."""

    def write(scores: TokenScores) -> bytes:
        starts = np.diff(scores.spans[:, 0], prepend=0).astype("<i4")
        lengths = (scores.spans[:, 1] - scores.spans[:, 0]).astype("<i4")
        places = zlib.compress(np.concatenate([starts, lengths]).tobytes(), 1)
        return struct.pack("<I", len(scores.nll)) + scores.nll.astype("<f4").tobytes() + places

    def read(content: bytes) -> TokenScores:
        (count,) = struct.unpack_from("<I", content)
        nll = np.frombuffer(content, "<f4", count, 4).astype(np.float32)
        steps = np.frombuffer(zlib.decompress(content[4 + 4 * count :]), "<i4").astype(np.int64).reshape(2, count)
        starts = np.cumsum(steps[0])
        return TokenScores(np.stack([starts, starts + steps[1]], axis=1), nll)

    return Form(write, read)


def row_form(count: int) -> Form:
    """Return the form of a row of `count` label probabilities: float64."""

    def read(content: bytes) -> Any:
        return np.frombuffer(content, "<f8").astype(np.float64) if len(content) == 8 * count else None

    return Form(lambda row: np.asarray(row, dtype="<f8").tobytes(), read)
