"""Metadata filters: a `--where` expression as SQL over the ledger, and as a Python predicate.

Both give the same answer, which the tests check on random expressions. Logic is two-valued: a comparison holds only
between values of one type (number, text, boolean, null); a field that is missing compares with nothing; `!=` and `not`
are plain complements, so `lang != 'en'` also finds chunks without `lang`.

A field is looked up among `source`, `doc_id`, `page`, `line`, `start`, `end` (`page` and `line` are null where the
format has none), then in the chunk's metadata, then in its document's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt
from typing import Any

from ragkit.index.where_parser import And, Comparison, Expression, Membership, Not, Or, parse
from ragkit.schema import Metadata, MetadataValue

SqlValue = str | int | float

BUILT_IN_FIELDS = {
    "source": "d.source",
    "doc_id": "d.doc_id",
    "page": "c.page",
    "line": "c.line",
    "start": "c.start",
    "end": 'c."end"',
}
"""Fields that every chunk has, and their columns."""

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}
_SQL_TYPES = {"number": "('integer', 'real')", "text": "('text')", "boolean": "('true', 'false')", "null": "('null')"}


@dataclass(frozen=True, slots=True)
class CompiledWhere:
    """A boolean SQL expression over `chunks AS c` and `documents AS d`, and the values of its placeholders."""

    sql: str
    parameters: tuple[SqlValue, ...]


def compile_where(expression: str) -> CompiledWhere:
    """Return `expression` as SQL that is 0 or 1, never NULL; nothing of the expression's text becomes SQL.

    Use it as `SELECT c.row FROM chunks AS c JOIN documents AS d USING (doc_row) WHERE <sql>`.
    Raises FilterError where the expression does not parse.

    >>> compile_where("page = 3")
    CompiledWhere(sql="ifnull(typeof(c.page) IN ('integer', 'real') AND c.page = ?, 0)", parameters=(3,))
    """
    parameters: list[SqlValue] = []
    sql = _sql(parse(expression), parameters)
    return CompiledWhere(sql, tuple(parameters))


def matches(expression: str | Expression, fields: Metadata) -> bool:
    """Return whether a chunk with these `fields` passes: its built-in fields over its metadata, as one mapping.

    >>> matches("lang = 'en' and page > 2", {"lang": "en", "page": 3})
    True
    """
    tree = parse(expression) if isinstance(expression, str) else expression
    match tree:
        case Comparison(field, "!=", value):
            return not _compares(fields, field, "=", value)
        case Comparison(field, operator, value):
            return _compares(fields, field, operator, value)
        case Membership(field, values):
            return any(_compares(fields, field, "=", value) for value in values)
        case Not(operand):
            return not matches(operand, fields)
        case And(operands):
            return all(matches(operand, fields) for operand in operands)
        case Or(operands):
            return any(matches(operand, fields) for operand in operands)


def _compares(fields: Mapping[str, MetadataValue], field: str, operator: str, value: MetadataValue) -> bool:
    if field not in fields or _type(fields[field]) != _type(value):
        return False
    return _COMPARE[operator](fields[field], value)


def _type(value: MetadataValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "text"
        case _:
            return "number"


def _sql(tree: Expression, parameters: list[SqlValue]) -> str:
    match tree:
        case Comparison(field, "!=", value):
            return f"NOT {_comparison(field, '=', value, parameters)}"
        case Comparison(field, operator, value):
            return _comparison(field, operator, value, parameters)
        case Membership(field, values):
            return _joined("OR", [_comparison(field, "=", value, parameters) for value in values])
        case Not(operand):
            return f"NOT {_sql(operand, parameters)}"
        case And(operands):
            return _joined("AND", [_sql(operand, parameters) for operand in operands])
        case Or(operands):
            return _joined("OR", [_sql(operand, parameters) for operand in operands])


def _joined(word: str, parts: list[str]) -> str:
    """Return the parts joined as a balanced tree: SQLite refuses expressions deeper than 1,000, and a chain is deep."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(word, parts[:middle])} {word} {_joined(word, parts[middle:])})"


def _comparison(field: str, operator: str, value: MetadataValue, parameters: list[SqlValue]) -> str:
    """Return `ifnull(<types agree> AND <comparison>, 0)`; `operator` comes from the grammar, never from the text."""
    kind = _type(value)
    if field in BUILT_IN_FIELDS:
        return _built_in_comparison(BUILT_IN_FIELDS[field], kind, operator, value, parameters)
    path = f'$."{field}"'  # the grammar leaves no quote or backslash in a field name
    document = "CASE WHEN json_type(c.metadata, ?) IS NULL THEN d.metadata ELSE c.metadata END"
    parameters += [path, path]
    found = f"json_type({document}, ?)"
    if kind == "null":
        return f"ifnull({found} = 'null', 0)"
    if kind == "boolean":
        parameters.append("true" if value else "false")
        return f"ifnull({found} = ?, 0)"
    parameters += [path, path]
    compared = f"json_extract({document}, ?) {operator} {_placeholder(value, parameters)}"
    return f"ifnull({found} IN {_SQL_TYPES[kind]} AND {compared}, 0)"


def _built_in_comparison(
    column: str, kind: str, operator: str, value: MetadataValue, parameters: list[SqlValue]
) -> str:
    if kind == "null":
        return f"({column} IS NULL)"
    if kind == "boolean":
        return "0"
    compared = f"{column} {operator} {_placeholder(value, parameters)}"
    return f"ifnull(typeof({column}) IN {_SQL_TYPES[kind]} AND {compared}, 0)"


def _placeholder(value: MetadataValue, parameters: list[SqlValue]) -> str:
    if isinstance(value, float):
        # As text, so that SQLite reads it as it reads the JSON: the same digits then always give the same number.
        parameters.append(repr(value))
        return "json_extract(?, '$')"
    parameters.append(value or "" if isinstance(value, str) else int(value or 0))
    return "?"
