"""Segment files: what is written is read, and every kind of damage is an error that names the file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import CorruptIndexError
from ragkit.index.segments import SegmentWriter, open_segment

ROWS = np.array([3, 5, 9, 10], dtype=np.int64)
VECTORS = np.eye(4, 8, dtype=np.float32)


def written(path):
    writer = SegmentWriter(path, 8)
    writer.append(ROWS[:3], VECTORS[:3])
    writer.append(ROWS[3:], VECTORS[3:])
    return writer.finish()


def test_what_is_written_is_read(tmp_path):
    checksum = written(tmp_path / "a.vec")
    segment = open_segment(tmp_path / "a.vec", checksum)
    np.testing.assert_array_equal(segment.rows, ROWS)
    np.testing.assert_array_equal(segment.vectors, VECTORS)
    assert not segment.vectors.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["a.vec"]


def test_an_abandoned_segment_leaves_nothing(tmp_path):
    writer = SegmentWriter(tmp_path / "a.vec", 8)
    writer.append(ROWS, VECTORS)
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_segment_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_segment(tmp_path / "a.vec", "0")


@pytest.mark.parametrize("size", [0, 1, 11, 60, 4095, 4096, 4097, 4096 + 8 * 4 * 4, -1])
def test_every_truncation_is_an_error(tmp_path, size):
    path = tmp_path / "a.vec"
    checksum = written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    with pytest.raises(CorruptIndexError, match=r"a\.vec"):
        open_segment(path, checksum)


def test_a_header_cannot_ask_for_more_than_the_file_holds(tmp_path):
    path = tmp_path / "a.vec"
    checksum = written(path)
    path.write_bytes(path.read_bytes() + b"\0" * 12)
    with pytest.raises(CorruptIndexError, match="its header asks for"):
        open_segment(path, checksum)


def test_a_whole_segment_of_another_index_is_refused(tmp_path):
    written(tmp_path / "a.vec")
    with pytest.raises(CorruptIndexError, match="checksum"):
        open_segment(tmp_path / "a.vec", "0" * 32)


@settings(max_examples=200)
@given(data=st.data())
def test_no_flipped_bit_changes_what_is_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flip") / "a.vec"
    checksum = written(path)
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        segment = open_segment(path, checksum)
    except CorruptIndexError:
        return
    np.testing.assert_array_equal(segment.rows, ROWS)  # the bit was in the padding of the header
    np.testing.assert_array_equal(segment.vectors, VECTORS)
