from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.config import LoadingConfig
from ragkit.errors import LoadError
from ragkit.loaders.failure import Failure
from ragkit.loaders.jsonl import JsonlLoader
from ragkit.loaders.metadata import scalars
from ragkit.schema import Document

GOOD = {"doc_id": "d1", "text": "Ducks fly.", "title": "Ducks", "year": 2020, "tags": ["a", "b"], "nested": {"x": 1}}


def lines(*records: Any) -> bytes:
    return b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records)


def read(path: Path, content: bytes, caps: LoadingConfig | None = None) -> tuple[list[Document], list[str]]:
    path.write_bytes(content)
    items = list(JsonlLoader(caps or LoadingConfig()).load_partly(path))
    failures = [item for item in items if isinstance(item, Failure)]
    assert all(failure.source == str(path) for failure in failures)
    return [item for item in items if isinstance(item, Document)], [failure.reason for failure in failures]


def test_a_record_is_a_document_with_its_scalars_as_metadata(tmp_path: Path) -> None:
    record = {**GOOD, "meta": {"lang": "en", "title": "overlaid", "deep": {}}}
    (document,), failures = read(tmp_path / "a.jsonl", lines(record))
    assert failures == []
    assert (document.doc_id, document.text, document.source) == ("d1", "Ducks fly.", str(tmp_path / "a.jsonl"))
    assert document.metadata == {"lang": "en", "title": "Ducks", "year": 2020, "tags": "a, b"}


def test_records_without_an_id_are_named_by_their_content(tmp_path: Path) -> None:
    (document,), _ = read(tmp_path / "a.jsonl", lines({"text": "x"}))
    assert document.doc_id == Document("x", "elsewhere").doc_id


def test_a_whole_number_is_an_id_and_fields_can_be_named(tmp_path: Path) -> None:
    caps = LoadingConfig(text_field="body", id_field="_id")
    (document,), _ = read(tmp_path / "a.jsonl", lines({"_id": 7, "body": "x", "text": "other"}), caps)
    assert (document.doc_id, document.text, document.metadata) == ("7", "x", {"text": "other"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{broken", "line 2: not JSON (Expecting property name enclosed in double quotes at column 2)"),
        (b"[1]", "line 2: found a JSON list; expected an object"),
        (b'{"body": "x", "n": 1}', "line 2: found the fields 'body' (str), 'n' (int); expected a text in 'text'"),
        (b'{"text": 3}', "line 2: found the fields 'text' (int); expected a text in 'text'"),
        (b'{"text": ""}', "line 2: found the fields 'text' (str); expected a text in 'text'"),
        (b"{}", "line 2: found the fields none; expected"),
        (b'{"doc_id": "d1", "text": "y"}', "line 2: the id 'd1' was given before"),
        (b'{"doc_id": [1], "text": "y"}', "line 2: the id in 'doc_id' is [1]; expected text or a whole number"),
        (b'{"text": "\\ud800"}', "line 2: its text holds a lone surrogate"),
        (b'{"doc_id": "\\ud800", "text": "x"}', "line 2: its id holds a lone surrogate"),
        (b'{"text": "\xff"}', "line 2: byte 10 is not valid UTF-8"),
        (b"[" * 100_000, "line 2: its values are nested too deeply"),
        (b'{"text": "x", "n": ' + b"9" * 5000 + b"}", "line 2: "),
    ],
)
def test_a_bad_line_costs_that_line_only(line: bytes, reason: str, tmp_path: Path) -> None:
    documents, failures = read(tmp_path / "a.jsonl", lines(GOOD, line, {"doc_id": "d3", "text": "last"}))
    assert [document.doc_id for document in documents] == ["d1", "d3"]
    assert len(failures) == 1
    assert failures[0].startswith(reason)


def test_load_yields_the_good_lines_and_then_raises(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(GOOD, b"?", b"!", {"text": "more"}))
    documents = JsonlLoader(LoadingConfig()).load(tmp_path / "a.jsonl")
    assert [next(documents).text, next(documents).text] == ["Ducks fly.", "more"]
    with pytest.raises(LoadError, match=r"a\.jsonl: line 2: not JSON .*\(and 1 more\).*The other lines were read"):
        next(documents)


def test_many_bad_lines_are_summed_up(tmp_path: Path) -> None:
    documents, failures = read(tmp_path / "a.jsonl", lines(*[b"?"] * 1500, GOOD))
    assert (len(documents), len(failures), failures[-1]) == (1, 101, "1,400 more bad lines.")


def test_marks_blank_lines_and_cr_lf_are_no_records(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + lines(GOOD).replace(b"\n", b"\r\n") + b"\r\n  \n" + lines({"text": "x"}).rstrip()
    documents, failures = read(tmp_path / "a.jsonl", content)
    assert (len(documents), failures) == (2, [])


def test_gzip_is_streamed(tmp_path: Path) -> None:
    documents, failures = read(tmp_path / "a.jsonl.gz", gzip.compress(lines(GOOD, {"text": "x"})))
    assert (len(documents), failures) == (2, [])


@pytest.mark.parametrize("cut", [40, 12, 3])
def test_damaged_gzip_keeps_what_came_before(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(lines(GOOD, {"text": "x"}))[:-cut] + b"")
    with pytest.raises(LoadError, match="gzip data is damaged after line"):
        list(JsonlLoader(LoadingConfig()).load_partly(path))


@pytest.mark.parametrize("line", [b" " * 2**20 + b"\n", b'{"text": "' + b"a" * 50 * 2**20 + b'"}'])
def test_a_gzip_bomb_stops_at_the_ratio(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(line * max(1, 50 * 2**20 // len(line))))
    with pytest.raises(LoadError, match=r"it expands to more than 200 times its .* bytes.*max_expansion"):
        list(JsonlLoader(LoadingConfig()).load_partly(path))


def test_a_file_of_white_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="it holds no records"):
        read(tmp_path / "a.jsonl", b"\n \n")


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, unique=True))
def test_texts_come_back_exactly(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "texts.jsonl"
    documents, failures = read(path, lines(*({"text": text} for text in texts)))
    assert ([document.text for document in documents], failures) == (texts, [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.text(), JSON))
def test_metadata_can_always_be_stored(fields: dict[object, Any]) -> None:
    kept = scalars(fields)
    json.dumps(kept, allow_nan=False, ensure_ascii=False).encode()
    assert all(value is None or isinstance(value, (str, int, float)) for value in kept.values())
    assert all(not isinstance(value, int) or -(2**63) <= value < 2**63 for value in kept.values())
