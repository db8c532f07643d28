"""Hits and values in columns: what is read is what was written, and what was written elsewhere is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ragkit.errors import ContractError
from ragkit.eval.columns import Values, read_column, rounded, written
from ragkit.eval.hits import Hits, HitsByQuery, SystemHits

HIT = st.tuples(
    st.sampled_from(["a", "b", "ü "]), st.integers(0, 2**33), st.integers(0, 900), st.integers(0, 400),
    st.floats(-1e30, 1e30),
)  # fmt: skip
LISTS = st.lists(st.tuples(st.lists(HIT, max_size=6), st.floats(0, 1e4), st.booleans()), max_size=5)
FILE = TypeAdapter(HitsByQuery)


def hits(found, seconds: float = 0.0, ranked: bool = True) -> SystemHits:
    return SystemHits(
        documents=[hit[0] for hit in found],
        spans=[(hit[1], hit[1] + hit[2]) for hit in found],
        tokens=[hit[3] for hit in found],
        scores=[hit[4] for hit in found],
        seconds=seconds,
        ranked=ranked,
    )


@given(LISTS)
def test_lists_come_back_from_columns_and_from_a_file(drawn):
    lists = [hits(*one) for one in drawn]
    columns = Hits.of(lists)
    for read in (columns, Hits.decoded(json.loads(json.dumps(columns.encoded())))):
        assert read == columns
        for given_, found, run in zip(lists, read, read.retrieved(), strict=True):
            assert (found.documents, found.spans, found.tokens) == (given_.documents, given_.spans, given_.tokens)
            assert found.ranked == given_.ranked == run.ranked
            assert found.scores == pytest.approx(given_.scores, rel=2**-10, abs=1e-37)
            assert found.seconds == pytest.approx(given_.seconds, rel=2**-10, abs=1e-37)
            assert (list(run.documents), list(map(tuple, run.spans.tolist()))) == (given_.documents, given_.spans)
            assert (run.tokens.tolist(), run.scores.tolist()) == (given_.tokens, found.scores)
    assert Hits.of(columns) == columns, "what is rounded stays"
    ids = [f"q{place}" for place in range(len(lists))]
    named = FILE.validate_python(dict(zip(ids, lists, strict=True)))
    assert FILE.validate_json(FILE.dump_json(named)) == named
    assert [named[name] for name in ids] == list(columns)
    assert named.at(ids[::-1])[:] == list(columns)[::-1]


NUMBERS = st.one_of(
    st.lists(st.integers(0, 255)), st.lists(st.integers(0, 70_000)), st.lists(st.integers(-(2**40), 2**40))
)


@given(NUMBERS)
def test_columns_of_integers_come_back(numbers):
    assert read_column(written(np.array(numbers, np.int64))).tolist() == numbers


@given(st.lists(st.floats(-1e30, 1e30)))
def test_values_equal_the_numbers_they_were_made_of(numbers):
    values = Values(numbers)
    assert values == numbers
    assert list(values) == pytest.approx(numbers, rel=2**-20, abs=1e-37)
    assert Values.of(written(values.array)) == values
    assert values != [*numbers, 1.0]


def test_rounding_keeps_what_is_no_number():
    assert rounded([math.inf, -math.inf, 0.0, 1 / 3], 12)[:3].tolist() == [math.inf, -math.inf, 0.0]
    assert np.isnan(rounded([math.nan], 12)).all()


@pytest.mark.parametrize("text", ["", "<u2", "<u2:!", "<u2:AAAA", "|O8:eJw=", 3, None])
def test_a_text_that_is_no_column_is_refused(text):
    with pytest.raises(ValueError, match=r"column|base64|padding|padded|characters"):
        read_column(text)


@pytest.mark.parametrize(
    "change",
    [{"hit": written(np.array([7]))}, {"counts": written(np.array([2]))}, {"documents": []}, {"ranked": None},
     {"ids": []}, {"document": written(np.array([-1, 2]))}, {"scores": written(np.array([1, 1]))}],
)  # fmt: skip
def test_columns_that_do_not_fit_together_are_refused(change):
    named = HitsByQuery.of({"q": hits([("a", 0, 5, 1, 1.0)])})
    content = json.loads(FILE.dump_json(named)) | change
    with pytest.raises(ValidationError):
        FILE.validate_json(json.dumps(content))


def test_hits_of_an_earlier_version_are_refused():
    old = {"q": {"documents": ["a"], "spans": [[0, 5]], "tokens": [1], "scores": [1.0], "seconds": 0.1}}
    with pytest.raises(ValidationError, match="of another version"):
        FILE.validate_json(json.dumps(old))


def test_parts_of_different_length_are_refused():
    with pytest.raises(ContractError, match="1 documents, 1 spans, 0 token counts"):
        Hits.of([hits([("a", 0, 5, 1, 1.0)]).model_copy(update={"tokens": []})])


def test_the_order_of_a_prompt_parts_and_flags_come_back():
    plain = hits([("a", 0, 5, 1, 1.0), ("b", 0, 5, 1, 0.5)])
    selected = hits([("a", 0, 5, 1, 1.0), ("a", 7, 2, 1, 1.0)]).model_copy(
        update={"ordered": True, "ranks": [3, 1], "parts": [0, 0], "rejected": [("b", 0, 5, ("factual",))]}
    )
    columns = Hits.of([plain, selected])
    content = json.loads(json.dumps(columns.encoded()))
    read = Hits.decoded(content)
    assert read == columns
    assert read[0] == plain
    assert read[1] == selected
    assert read != Hits.of([plain, plain])
    assert not {"ordered", "rank", "part", "rejected"} & set(Hits.of([plain]).encoded()), "as in older files"
    with pytest.raises(ValueError, match="do not fit together"):
        Hits.decoded({**content, "rejected": content["rejected"][:1]})
    with pytest.raises(ValueError, match="rejected hits that are none"):
        Hits.decoded({**content, "rejected": [[], [["b", 0]]]})
    with pytest.raises(ContractError, match="List 0 of hits"):
        Hits.of([plain.model_copy(update={"ranks": [1]})])
