"""Pieces to spans: exact where they are verbatim, counted where they are not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.eval.peers.mapping import Piece, map_pieces

TEXT = "One fish. Two fish. Red fish."


def spans_of(pieces: list[Piece], text: str = TEXT) -> list[str]:
    return [text[start:end] for start, end in map_pieces(text, pieces).spans]


def test_right_offsets_are_taken_and_wrong_ones_replaced():
    mapped = map_pieces(TEXT, [Piece("One fish.", 0), Piece("Two fish.", 9), Piece("Red fish.", 99)])
    assert mapped.spans == [(0, 9), (10, 19), (20, 29)]
    assert mapped.unmapped == []


def test_repeats_are_found_in_order():
    assert map_pieces(
        TEXT, [Piece("One "), Piece("fish."), Piece("Two"), Piece("fish."), Piece("Red fish.")]
    ).spans == [*((0, 4), (4, 9), (10, 13), (14, 19), (20, 29))]


def test_what_is_not_verbatim_is_unmapped():
    mapped = map_pieces(TEXT, [Piece("one fish.", 0), Piece("Two fish."), Piece("[UNK]")])
    assert mapped.spans == [(10, 19)]
    assert mapped.unmapped == ["one fish.", "[UNK]"]


def test_after_a_loss_a_piece_with_two_places_is_not_guessed():
    mapped = map_pieces(TEXT, [Piece("one"), Piece("fish."), Piece("Red fish.")])
    assert mapped.spans == [(20, 29)]
    assert mapped.unmapped == ["one", "fish."]


def test_blank_and_repeated_pieces_are_left_out():
    assert map_pieces(TEXT, [Piece(""), Piece(" "), Piece("One", 0), Piece("One", 0)]).spans == [(0, 3)]


def test_overlap_begins_no_earlier_than_allowed():
    text = "a b c d e f"
    pieces = [Piece("a b c"), Piece("c d e"), Piece("e f")]
    assert map_pieces(text, pieces, lambda end: max(0, end - 1)).spans == [(0, 5), (4, 9), (8, 11)]
    assert map_pieces(text, pieces).unmapped == ["c d e"]


def test_a_piece_never_begins_before_the_one_before_it():
    assert map_pieces("a b a b", [Piece("a b"), Piece("a b")], lambda _: 0).spans == [(0, 3), (4, 7)]


@given(st.text(st.sampled_from("ab \n"), max_size=40), st.data())
def test_a_cut_text_is_mapped_whole_with_or_without_offsets(text, data):
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)) | {0, len(text)})
    spans = list(pairwise(cuts))
    visible = [(start, end) for start, end in spans if text[start:end].strip()]
    told = [Piece(text[start:end], data.draw(st.sampled_from([start, None, 999]))) for start, end in spans]
    mapped = map_pieces(text, told)
    assert mapped.unmapped == []
    assert [text[start:end] for start, end in mapped.spans] == [text[start:end] for start, end in visible]
    covered = "".join(text[start:end] for start, end in mapped.spans)
    assert covered.split() == "".join(text[start:end] for start, end in visible).split()


@given(st.text(max_size=30), st.lists(st.tuples(st.text(max_size=6), st.none() | st.integers(-9, 40)), max_size=8))
def test_every_span_is_a_piece_to_the_letter(text, given_pieces):
    pieces = [Piece(*piece) for piece in given_pieces]
    mapped = map_pieces(text, pieces)
    visible = [piece.text for piece in pieces if piece.text.strip()]
    assert all(text[start:end] in visible for start, end in mapped.spans)
    assert mapped.spans == sorted(set(mapped.spans))
    assert len(mapped.spans) + len(mapped.unmapped) <= len(visible)


@pytest.mark.parametrize("offset", [None, 0])
def test_an_empty_text_has_no_spans(offset):
    assert map_pieces("", [Piece("", offset)]).spans == []
