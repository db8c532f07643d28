"""Bytes to text: byte order marks, UTF-8, a declared encoding, and only then a guess.

A NUL character inside valid text is text: it is kept, and offsets count it. Bytes are called binary if they are a known
binary format, or if NULs make up more than a tenth of what would otherwise decode.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field

from ragkit.loaders.magic import format_of
from ragkit.schema import MetadataValue

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_IN_USE = (
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "koi8_r"),
    *("koi8_u", "iso8859_2", "iso8859_15", "cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949", "mac_roman"),
    *("cp437", "cp850", "cp866"),
)
_SAMPLE = 64 * 1024
_MAX_NUL_SHARE = 0.1
# Latin-1 read as UTF-8 breaks at nearly every non-ASCII character, damaged UTF-8 at few of them.
_MAX_BROKEN_SHARE = 0.1
# So few odd characters in what fits no encoding are damage to a text; of random bytes, half are odd.
_MAX_ODD_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the encoding it was in, and how many byte sequences were replaced by U+FFFD."""

    text: str
    encoding: str = "utf-8"
    replaced: int = 0
    metadata: Mapping[str, MetadataValue] = field(init=False)
    """`encoding` where it is not UTF-8, `replaced_characters` where there are any."""

    def __post_init__(self) -> None:
        metadata: dict[str, MetadataValue] = {}
        if self.encoding != "utf-8":
            metadata["encoding"] = self.encoding
        if self.replaced:
            metadata["replaced_characters"] = self.replaced
        object.__setattr__(self, "metadata", metadata)


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """Return the text of `data`, from the first of: byte order mark, UTF-8, `declared`, a guess from a sample.

    Raises ValueError, its text a clause, for binary data and where no encoding fits.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strict(data[len(mark) :], encoding, f"it starts with the byte order mark of {encoding.upper()}")
    if (found := format_of(data[:_SAMPLE])) is not None:
        raise ValueError(f"it looks binary: it holds {found} data")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _not_utf8(data, error.start, declared)
    return _unless_binary(text, data)


def _strict(data: bytes, encoding: str, belief: str) -> Decoded:
    try:
        return Decoded(data.decode(encoding), encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{belief}, but byte {error.start:,} is not valid in it") from None


def _unless_binary(text: str, data: bytes) -> Decoded:
    """Return valid UTF-8 as it is, UTF-16 without a mark decoded; raise ValueError for mostly NULs."""
    sample = data[:_SAMPLE]
    if sample.count(0) <= _MAX_NUL_SHARE * len(sample):
        return Decoded(text)
    return _utf16_without_mark(data, sample)


def _utf16_without_mark(data: bytes, sample: bytes) -> Decoded:
    """Return `data` as UTF-16 if NULs fill one half of nearly all its pairs, as they do in European languages."""
    pairs = len(sample) // 2
    high, low = sample[0::2].count(0), sample[1::2].count(0)
    if len(data) % 2 == 0 and max(high, low) > 0.7 * pairs and min(high, low) < 0.05 * pairs:
        return _strict(data, "utf-16-le" if low > high else "utf-16-be", "it looks like UTF-16")
    raise ValueError(f"it looks binary: {sample.count(0) / len(sample):.0%} of its bytes are NUL")


def _not_utf8(data: bytes, broken_at: int, declared: str | None) -> Decoded:
    """Return `data` in the declared encoding, as damaged UTF-8, or in the likeliest other encoding, in this order."""
    sample = data[:_SAMPLE]
    if sample.count(0) > _MAX_NUL_SHARE * len(sample):
        return _utf16_without_mark(data, sample)
    if declared is not None:
        return _replaced(data, declared)
    repaired = _replaced(data, "utf-8")
    if repaired.replaced < _MAX_BROKEN_SHARE * _non_ascii(repaired.text):
        return repaired
    encoding = None if 0 in sample else _likeliest(_samples(data, broken_at))
    if encoding is not None:
        return _replaced(data, encoding)
    if repaired.replaced <= _MAX_ODD_SHARE * len(repaired.text):
        return repaired
    raise ValueError(f"it looks binary: byte {broken_at:,} is not UTF-8, and no other encoding fits")


def _replaced(data: bytes, encoding: str) -> Decoded:
    text = data.decode(encoding, errors="replace")
    return Decoded(text, encoding, replaced=text.count("\ufffd"))


def _non_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", errors="ignore"))


def _samples(data: bytes, broken_at: int) -> bytes:
    """Return the start of `data`, and what lies around its first odd byte where that is elsewhere."""
    start = max(0, broken_at - _SAMPLE // 4)
    return data[: _SAMPLE // 2] + (data[start : start + _SAMPLE // 2] if start > _SAMPLE // 2 else b"")


def _likeliest(sample: bytes) -> str | None:
    """Return charset-normalizer's first choice among encodings in real use, cp1252 where that is about as good.

    Left to itself it took German in cp1252 for the encoding of Icelandic Macs, and English quotation marks for cp1250.
    """
    from charset_normalizer import from_bytes

    matches = from_bytes(sample, cp_isolation=list(_IN_USE))
    for match in matches:
        usual = "cp1252" in match.could_be_from_charset
        if usual and match.chaos <= matches[0].chaos and match.coherence >= matches[0].coherence - 0.05:
            return "cp1252"
    return matches[0].encoding if matches else None
