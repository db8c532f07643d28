"""`--where`: the grammar, its errors, and SQL and Python giving the same answer."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import FilterError
from ragkit.index.where import BUILT_IN_FIELDS, compile_where, matches
from ragkit.index.where_parser import MAX_DEPTH, MAX_LENGTH, And, Comparison, Membership, Not, Or, parse

NAMES = ["lang", "year", "a.b", "a-b", "draft", "naïve", "page", "source", "start"]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
NUMBERS = (
    st.integers(-3, 3)
    | st.sampled_from([0.5, -1.5, 2.0, 1e300, 2**63, 2**53 + 1, float(2**53)])
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.none() | st.booleans() | NUMBERS | TEXT | st.sampled_from(["en", "it's", '"', "' or 1=1 --", "5"])


def literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return json.dumps(value)


def comparisons(draw: Any) -> str:
    name = draw(st.sampled_from(NAMES))
    if draw(st.booleans()):
        return f"{name} IN ({', '.join(map(literal, draw(st.lists(VALUES, min_size=1, max_size=3))))})"
    if draw(st.booleans()):
        return f"{name}{draw(st.sampled_from(['=', '!=']))}{literal(draw(VALUES))}"
    return f"{name} {draw(st.sampled_from(['<', '<=', '>', '>=']))} {literal(draw(NUMBERS | TEXT))}"


EXPRESSIONS = st.recursive(
    st.composite(comparisons)(),
    lambda inner: (
        inner.map(lambda e: f"not ({e})")
        | inner.map(lambda e: f"not {e}")
        | st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join)
    ),
    max_leaves=6,
)
METADATA = st.dictionaries(st.sampled_from(NAMES[:6]), VALUES, max_size=4)


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE documents (doc_row INTEGER, source TEXT, doc_id TEXT, metadata TEXT);"
        'CREATE TABLE chunks (row INTEGER, doc_row INTEGER, start INTEGER, "end" INTEGER, metadata TEXT,'
        " page INTEGER, line INTEGER);"
    )
    return connection


def sql_matches(connection: sqlite3.Connection, expression: str, chunk: Any, document: Any, built_in: Any) -> bool:
    compiled = compile_where(expression)
    connection.execute("DELETE FROM chunks")
    connection.execute("DELETE FROM documents")
    dump = lambda mapping: json.dumps(mapping, ensure_ascii=False)  # noqa: E731
    connection.execute(
        "INSERT INTO documents VALUES (1, ?, ?, ?)", (built_in["source"], built_in["doc_id"], dump(document))
    )
    connection.execute(
        "INSERT INTO chunks VALUES (7, 1, ?, ?, ?, ?, ?)",
        (built_in["start"], built_in["end"], dump(chunk), built_in["page"], built_in["line"]),
    )
    query = f"SELECT c.row, {compiled.sql} FROM chunks AS c JOIN documents AS d USING (doc_row)"
    [(row, value)] = connection.execute(query, compiled.parameters).fetchall()
    assert row == 7
    assert value in (0, 1), "never NULL"
    return bool(value)


@given(
    expression=EXPRESSIONS,
    chunk=METADATA,
    document=METADATA,
    page=st.none() | st.integers(1, 3),
    source=TEXT,
)
def test_sql_equals_the_python_predicate(expression, chunk, document, page, source):
    built_in = {"source": source, "doc_id": "d", "page": page, "line": 1, "start": 0, "end": 2}
    connection = database()
    expected = matches(expression, {**document, **chunk, **built_in})
    assert sql_matches(connection, expression, chunk, document, built_in) == expected


@given(expression=EXPRESSIONS, fields=METADATA)
def test_not_is_the_complement(expression, fields):
    assert matches(f"not ({expression})", fields) != matches(expression, fields)


@given(
    st.text(alphabet=st.sampled_from("ab=!<>()'\", \n1.5and or not in true []&|\0é"), max_size=30)
    | st.text(max_size=20)
)
def test_any_text_parses_or_is_a_filter_error(text):
    try:
        compiled = compile_where(text)
    except FilterError as error:
        if not error.hint:
            raise
        return
    database().execute(f"SELECT {compiled.sql} FROM chunks c JOIN documents d USING (doc_row)", compiled.parameters)


BUILT_IN = {"source": "s", "doc_id": "d", "page": None, "line": 4, "start": 0, "end": 2}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("year = 2020", True),
        ("year = 2020.0", True),
        ("year = '2020'", False),
        ("year != '2020'", True),
        ("year >= 2020 and year < 2021", True),
        ("missing = null", False),
        ("missing != 1", True),
        ("not missing = 1", True),
        ("missing < 1 or missing >= 1", False),
        ("nothing = null", True),
        ("nothing = 0", False),
        ("flag = true", True),
        ("flag = 1", False),
        ("flag in (1, false)", False),
        ("lang = 'de'", True),  # the chunk's own value lies over its document's
        ('lang in ("fr", "de")', True),
        ("page = null", True),
        ("page = true", False),
        ("line > 3 AND NOT line > 4", True),
        ("line = '4'", False),
        ("source = 's' and doc_id = 'd'", True),
        ("lang = 'en' or lang = 'de' and flag = true", True),
        ("(lang = 'en' or lang = 'de') and flag = false", False),
        ("quote = 'it''s'", True),
        ('quote = "it\'s"', True),
    ],
)
def test_semantics(expression, expected):
    chunk = {"lang": "de", "flag": True, "nothing": None}
    document = {"lang": "en", "year": 2020, "quote": "it's"}
    assert matches(expression, {**document, **chunk, **BUILT_IN}) is expected
    assert sql_matches(database(), expression, chunk, document, BUILT_IN) is expected


def test_trees():
    assert parse("a=1 and b=2 or not c in (3)") == Or(
        (And((Comparison("a", "=", 1), Comparison("b", "=", 2))), Not(Membership("c", (3,))))
    )
    assert parse("a < -1.5e3") == Comparison("a", "<", -1500.0)
    assert parse("a=''") == Comparison("a", "=", "")
    assert parse("in_x = 9999999999999999999") == Comparison("in_x", "=", 1e19)


HOSTILE = ["x' OR 1=1 --", "'; DROP TABLE chunks; --", 'a"b', "$[0]", "\\", "%", "?"]


@pytest.mark.parametrize("value", HOSTILE)
def test_values_never_become_sql(value):
    compiled = compile_where(f"field = {literal(value)}")
    assert value not in compiled.sql or value in "?"
    assert value in compiled.parameters
    assert sql_matches(database(), f"field = {literal(value)}", {"field": value}, {}, BUILT_IN)
    assert not sql_matches(database(), f"field = {literal(value)}", {"field": "x"}, {}, BUILT_IN)


@pytest.mark.parametrize("name", ["a.b", "$", "a[0]", 'a"', "metadata", "c.row", "1=1", "a'b", "row;", "a\\"])
def test_field_names_are_only_ever_json_keys(name):
    try:
        compiled = compile_where(f"{name} = 1")
    except FilterError:
        return
    assert name not in compiled.sql.replace("c.metadata", "").replace("d.metadata", "")
    assert sql_matches(database(), f"{name} = 1", {name: 1}, {}, BUILT_IN)


@pytest.mark.parametrize(
    ("expression", "character", "says"),
    [
        ("", 1, "a field name"),
        ("lang = en", 8, "Quote text: 'en'."),
        ("lang == 'en'", 6, "Write '=' to compare."),
        ("lang <> 'en'", 6, "Write '!=' for 'is not'."),
        ("a = 1 && b = 2", 7, "Write 'and'."),
        ("a = 1 || b = 2", 7, "Write 'or'."),
        ("! a = 1", 1, "Write 'not'."),
        ("a in ['x']", 6, "Write lists in parentheses: field in ('a', 'b')."),
        ("a nto in (1)", 3, "Did you mean 'not'?"),
        ("a not in (1)", 3, "Write: not a in (...)."),
        ("a = 'open", 5, "The quote is never closed: add another ' after the text."),
        ("(a = 1", 7, "expected ')', found the end"),
        ("a = 1)", 6, "'and', 'or' or the end"),
        ("a < true", 5, "have no order"),
        ("a in ()", 7, "a quoted text, a number"),
        ("'a' = 1", 1, "Field names are written without quotes"),
        ("a = 1e999", 5, "a number below 1.8e308"),
        ("and = 1", 1, "a field name"),
    ],
)
def test_errors_point_at_the_place_and_offer_the_fix(expression, character, says):
    with pytest.raises(FilterError) as caught:
        parse(expression)
    assert f"at character {character}:" in caught.value.message
    assert says in str(caught.value)
    line, caret = caught.value.message.splitlines()[1:3]
    assert caret.index("^") == 2 + character - 1
    assert line[2:] == expression


def test_a_pointer_into_a_long_expression_stays_short():
    with pytest.raises(FilterError) as caught:
        parse("a = 1 and " * 90 + "b ? 2")
    line, caret = caught.value.message.splitlines()[1:3]
    assert len(line) < 80
    assert line[caret.index("^")] == "?"


def test_limits():
    with pytest.raises(FilterError, match="at most 10,000"):
        parse("a" * (MAX_LENGTH + 1))
    assert parse("(" * MAX_DEPTH + "a=1" + ")" * MAX_DEPTH)
    for opening in ("(", "not "):
        with pytest.raises(FilterError, match="nested"):
            parse(opening * (MAX_DEPTH + 1) + "a=1")
    long = "a=1 or " * 1400 + "b=2"
    assert sql_matches(database(), long, {"b": 2}, {}, BUILT_IN)
    many = f"a in ({','.join(['1'] * 4000)},2)"
    assert sql_matches(database(), many, {"a": 2}, {}, BUILT_IN)
    with pytest.raises(FilterError):
        parse(f"a = {'9' * 9000}")


def test_every_built_in_field_has_a_column():
    for name in BUILT_IN_FIELDS:
        assert compile_where(f"{name} != 1").sql.count("json") == 0
