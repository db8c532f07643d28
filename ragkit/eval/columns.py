"""Columns of numbers as short texts, and rounding to so many binary digits: what results keep a million values in.

A column is `TYPE:TEXT`: the type as numpy writes it, such as "<u2", and the base64 of the zlib-compressed planes (all
first bytes of the numbers, then all second bytes, ...). Like bytes lie together, so that they compress.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

TYPES = frozenset({"|u1", "<u2", "<u4", "<i4", "<i8", "<f4", "<f8"})
_LEVEL = 6

DIGITS = 20
"""Binary digits that `Values` keep."""


def written(numbers: NDArray[Any]) -> str:
    """Return the one-dimensional array as a text that `read_column` takes; integers in the smallest type that fits."""
    if numbers.dtype.kind in "iub":
        least, most = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
        unsigned = "|u1" if most < 2**8 else "<u2" if most < 2**16 else "<u4" if most < 2**32 else "<i8"
        kind = unsigned if least >= 0 else "<i4" if least >= -(2**31) and most < 2**31 else "<i8"
    else:
        kind = numbers.dtype.newbyteorder("<").str
    rows = np.ascontiguousarray(numbers, kind).view(np.uint8).reshape(len(numbers), np.dtype(kind).itemsize)
    return f"{kind}:{base64.b64encode(zlib.compress(rows.T.tobytes(), _LEVEL)).decode('ascii')}"


def read_column(text: object) -> NDArray[Any]:
    """Return the array that `written` wrote; raise ValueError for a text that it did not write."""
    kind, colon, content = text.partition(":") if isinstance(text, str) else ("", "", "")
    if not colon or kind not in TYPES:
        raise ValueError("is no column of numbers")
    try:
        planes = np.frombuffer(zlib.decompress(base64.b64decode(content, validate=True)), np.uint8)
    except zlib.error as error:
        raise ValueError(f"is a damaged column: {error}") from None
    size = np.dtype(kind).itemsize
    if len(planes) % size:
        raise ValueError(f"is a column whose {len(planes)} bytes are no numbers of {size}")
    return np.ascontiguousarray(planes.reshape(size, -1).T).reshape(-1).view(kind)


def rounded(numbers: ArrayLike, digits: int) -> NDArray[np.float32]:
    """Return the numbers with `digits` binary digits: each is off by at most one part in 2 ** digits.

    >>> rounded([0.1, 5.0, float("inf")], 12).tolist()
    [0.100006103515625, 5.0, inf]
    """
    mantissa, exponent = np.frexp(np.asarray(numbers, np.float64))
    found: NDArray[np.float32] = np.ldexp(np.round(np.ldexp(mantissa, digits)), exponent - digits).astype(np.float32)
    return found


class Values(Sequence[float]):
    """A value for each counted query, to 20 binary digits (six decimal ones); equal to any sequence of its values."""

    __slots__ = ("array",)

    def __init__(self, numbers: ArrayLike) -> None:
        """Keep `numbers`, rounded."""
        self.array = rounded(numbers, DIGITS)

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, place: int) -> float: ...
    @overload
    def __getitem__(self, place: slice) -> list[float]: ...
    def __getitem__(self, place: int | slice) -> float | list[float]:
        found: float | list[float] = self.array[place].tolist()
        return found

    def __iter__(self) -> Iterator[float]:
        return iter(self.array.tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and bool((self.array == rounded(np.asarray(other, np.float64), DIGITS)).all())

    __hash__ = None  # type: ignore[assignment] # as lists, which it equals

    def __repr__(self) -> str:
        return f"Values({self.array.tolist()!r})"

    @classmethod
    def of(cls, value: object) -> Values:
        """Return the values that `value` is: themselves, numbers, or what `written` made of them."""
        if isinstance(value, cls):
            return value
        return cls(read_column(value) if isinstance(value, str) else value)  # type: ignore[arg-type] # numpy refuses what is none

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return how records hold values: in memory as they are, in files as a column."""
        writing = core_schema.plain_serializer_function_ser_schema(lambda values: written(values.array))
        return core_schema.no_info_plain_validator_function(cls.of, serialization=writing)
