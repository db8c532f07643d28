"""The header of a blob: it comes back, and any other byte, name, scope or length is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.tiers.codec import (
    PAGE,
    BrokenBlobError,
    Header,
    check_body,
    check_owner,
    fits,
    header_of,
    pack,
    unpack,
)
from tests.cachecraft.tiers.blobs import blob

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(texts, texts, st.integers(0, 2**63 - 1), st.binary(min_size=16, max_size=16))
def test_a_header_comes_back(scope: str, name: str, length: int, digest: bytes):
    header = Header(scope, name, length, digest)
    page = pack(header)
    assert len(page) == PAGE
    assert unpack(page) == header


@given(st.integers(0, PAGE - 1), st.integers(1, 255))
def test_any_altered_byte_of_the_page_is_seen(place: int, change: int):
    page = bytearray(pack(header_of("space", "name", blob(100))))
    page[place] ^= change
    with pytest.raises(BrokenBlobError):
        unpack(page)


@given(st.integers(0, PAGE + 10).filter(lambda length: length != PAGE))
def test_a_page_of_another_length_is_refused(length: int):
    page = pack(header_of("space", "name", blob(100))).ljust(PAGE + 10, b"\0")
    with pytest.raises(BrokenBlobError, match="truncated"):
        unpack(page[:length])


@given(st.binary(max_size=PAGE))
def test_bytes_from_anywhere_are_refused(noise: bytes):
    with pytest.raises(BrokenBlobError):
        unpack(noise.ljust(PAGE, b"\0"))


def test_another_owner_or_body_is_refused():
    body = blob(1000)
    header = header_of("space", "name", body)
    check_owner(header, "space", "name")
    check_body(header, body)
    for scope, name in [("space", "other"), ("other", "name"), ("spacen", "ame"), ("", "spacename")]:
        with pytest.raises(BrokenBlobError, match="another blob"):
            check_owner(header, scope, name)
    for wrong in (body[:-1], np.append(body, np.uint8(0)), np.roll(body, 1), np.zeros(1000, np.uint8)):
        with pytest.raises(BrokenBlobError):
            check_body(header, wrong)


def test_the_format_is_that_of_the_documentation():
    """A fixed example: a change of the layout must change the format number."""
    page = pack(Header("s", "n", 3, bytes(range(16))))
    assert page[:8] == b"ragkitKV"
    assert page[8:42] == bytes.fromhex("01000000 0100 0100 0300000000000000") + bytes(range(16)) + b"sn"
    assert not any(page[42:4080])
    assert page[4080:] == xxhash.xxh3_128_digest(page[:4080])
    assert fits("s" * 2000, "n" * 2000)
    assert not fits("s" * 2020, "n" * 2021)
