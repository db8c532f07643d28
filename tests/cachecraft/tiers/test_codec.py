"""The header of a blob: it comes back, and any other byte, name, scope or length is refused."""

from __future__ import annotations

import struct

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
    check_sections,
    fits,
    header_of,
    pack,
    section_of,
    unpack,
)
from tests.cachecraft.tiers.blobs import blob

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(texts, texts, st.integers(0, 2**62), st.data())
def test_a_header_comes_back(scope: str, name: str, length: int, data: st.DataObject):
    section = section_of(length)
    digests = tuple(data.draw(st.binary(min_size=16, max_size=16)) for _ in range(min(2, -(-length // section))))
    digests = (digests * 64)[: -(-length // section)]
    header = Header(scope, name, length, section, digests)
    page = pack(header)
    assert len(page) == PAGE
    assert unpack(page) == header


@given(st.integers(0, 2**62))
def test_a_blob_has_at_most_128_sections_of_whole_pages(length: int):
    section = section_of(length)
    assert section % PAGE == 0
    assert -(-length // section) <= 128
    assert length < 2**23 or -(-length // section) > 60, "a large model's layers each have one"


@given(st.integers(1, 300_000), st.data())
def test_an_altered_byte_is_seen_in_its_section_and_in_no_other(size: int, data: st.DataObject):
    body = blob(size)
    header = header_of("space", "name", body)
    place = data.draw(st.integers(0, size - 1))
    body[place] ^= 1
    for number in range(len(header.digests)):
        if number == place // header.section:
            with pytest.raises(BrokenBlobError, match="checksum"):
                check_sections(header, body, number, number + 1)
        else:
            check_sections(header, body, number, number + 1)


@pytest.mark.parametrize(("version", "section"), [(1, 65536), (3, 65536), (2, 0), (2, 1000), (2, PAGE)])
def test_another_format_is_refused(version: int, section: int):
    body = struct.pack("<8sIHHQQ", b"ragkitKV", version, 1, 1, 2**20, section)
    page = (body + b"sn").ljust(PAGE - 16, b"\0")
    with pytest.raises(BrokenBlobError, match="format"):
        unpack(page + xxhash.xxh3_128_digest(page))


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
    page = pack(Header("s", "n", 3, 65536, (bytes(range(16)),)))
    assert page[:8] == b"ragkitKV"
    fixed = bytes.fromhex("02000000 0100 0100 0300000000000000 0000010000000000")
    assert page[8:50] == fixed + b"sn" + bytes(range(16))
    assert not any(page[50:4080])
    assert page[4080:] == xxhash.xxh3_128_digest(page[:4080])
    assert fits("s" * 1000, "n" * 1000)
    assert not fits("s" * 1000, "n" * 1001)
