"""The grammar of `--where`: text to a small tree.

    expression  = conjunction { "or" conjunction }
    conjunction = term { "and" term }
    term        = "not" term | "(" expression ")" | comparison
    comparison  = field ("=" | "!=" | "<" | "<=" | ">" | ">=") value | field "in" "(" value { "," value } ")"
    field       = letters, digits, "_", "-", "."
    value       = 'text' | "text" | number | true | false | null      (a doubled quote stands for one quote)

Key words may be in upper or lower case. "and" binds tighter than "or", "not" tighter than both.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias, cast, get_args

from ragkit.errors import FilterError
from ragkit.schema import MetadataValue

MAX_LENGTH = 10_000
"""Most characters of an expression."""
MAX_DEPTH = 100
"""Most parentheses and `not`s inside each other."""

Operator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field operator value`."""

    field: str
    operator: Operator
    value: MetadataValue


@dataclass(frozen=True, slots=True)
class Membership:
    """`field in (values)`."""

    field: str
    values: tuple[MetadataValue, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The complement of `operand`."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class And:
    """All of `operands`, two at least."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of `operands`, two at least."""

    operands: tuple[Expression, ...]


Expression: TypeAlias = Comparison | Membership | Not | And | Or

OPERATORS = get_args(Operator)
KEY_WORDS = ("and", "or", "not", "in")
CONSTANTS: dict[str, MetadataValue] = {"true": True, "false": False, "null": None}
LOOKALIKES = {
    "==": "write '=' to compare",
    "<>": "write '!=' for 'is not'",
    "!": "write 'not'",
    "&&": "write 'and'",
    "&": "write 'and'",
    "||": "write 'or'",
    "|": "write 'or'",
    "[": "write lists in parentheses: field in ('a', 'b')",
}

_TOKEN = re.compile(
    r"""(?P<string>'(?:[^']|'')*'|"(?:[^"]|"")*")"""
    r"""|(?P<word>[+\w.\-]+)"""
    r"""|(?P<symbol>!=|<=|>=|==|<>|&&|\|\||.)""",
    re.DOTALL,
)
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["string", "word", "number", "symbol", "end"]
    text: str
    at: int

    @property
    def shown(self) -> str:
        return "the end" if self.kind == "end" else self.text if self.kind == "string" else f"'{self.text}'"

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.lower() == word


def parse(text: str) -> Expression:
    """Return the tree of a `--where` expression.

    >>> parse("year >= 2020 and not draft = true")
    And(operands=(Comparison(field='year', operator='>=', value=2020), Not(operand=Comparison(field='draft', \
operator='=', value=True))))

    Raises FilterError with the position, what was expected there and, where one is near, the fix.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(
            f"The filter has {len(text):,} characters; at most {MAX_LENGTH:,} are read.",
            hint="Shorten the list of values, or store the distinction as a metadata field.",
        )
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.next = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def whole(self) -> Expression:
        tree = self.expression(0)
        if self.token.kind != "end":
            self.fail("'and', 'or' or the end")
        return tree

    def expression(self, depth: int) -> Expression:
        return self.chain("or", lambda: self.chain("and", lambda: self.term(depth), And), Or)

    def chain(self, word: str, operand: Callable[[], Expression], join: type[And] | type[Or]) -> Expression:
        operands = [operand()]
        while self.token.is_word(word):
            self.next += 1
            operands.append(operand())
        return join(tuple(operands)) if len(operands) > 1 else operands[0]

    def term(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            self.fail(f"at most {MAX_DEPTH} nested parentheses and 'not's", "Simplify the expression.")
        if self.token.is_word("not"):
            self.next += 1
            return Not(self.term(depth + 1))
        if self.token.text == "(":
            self.next += 1
            inner = self.expression(depth + 1)
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Expression:
        field = self.field()
        if self.token.is_word("in"):
            self.next += 1
            return Membership(field, self.values())
        token = self.token
        if token.text not in OPERATORS or token.kind != "symbol":
            self.fail(f"one of {' '.join(OPERATORS)} or 'in' after the field {field!r}", _operator_hint(token, field))
        self.next += 1
        operator = cast("Operator", token.text)
        at = self.token
        value = self.value()
        if operator not in ("=", "!=") and (value is None or isinstance(value, bool)):
            self.fail(f"a number or a quoted text after {operator!r}", "true, false and null have no order.", at)
        return Comparison(field, operator, value)

    def field(self) -> str:
        token = self.token
        if token.kind != "word" or token.text.lower() in (*KEY_WORDS, *CONSTANTS) or "+" in token.text:
            hint = "Field names are written without quotes, before the operator." if token.kind == "string" else ""
            self.fail("a field name" if self.next else "a field name, 'not' or '('", hint)
        self.next += 1
        return token.text

    def values(self) -> tuple[MetadataValue, ...]:
        self.expect("(")
        values = [self.value()]
        while self.token.text == "," and self.token.kind == "symbol":
            self.next += 1
            values.append(self.value())
        self.expect(")")
        return tuple(values)

    def value(self) -> MetadataValue:
        token = self.token
        self.next += 1
        if token.kind == "string":
            quote = token.text[0]
            return token.text[1:-1].replace(quote * 2, quote)
        if token.kind == "number":
            number = _number(token.text)
            if math.isfinite(number):
                return number
            return self.fail("a number below 1.8e308", "Use a smaller number.", token)
        if token.kind == "word" and token.text.lower() in CONSTANTS:
            return CONSTANTS[token.text.lower()]
        hint = f"Quote text: '{token.text}'." if token.kind == "word" else ""
        return self.fail("a quoted text, a number, true, false or null", hint, token)

    def expect(self, symbol: str) -> None:
        if self.token.text != symbol or self.token.kind != "symbol":
            self.fail(f"'{symbol}'")
        self.next += 1

    def fail(self, expected: str, hint: str = "", token: _Token | None = None) -> NoReturn:
        """Raise the error at `token`, by default the next one, with a line that points at it."""
        token = token or self.token
        hint = hint or _symbol_hint(token) or "Example: year >= 2020 and lang in ('en', 'de') and not draft = true"
        raise FilterError(
            f"The filter does not parse at character {token.at + 1}: expected {expected}, found {token.shown}.\n"
            f"{_pointer(self.text, token.at)}\n",
            hint=hint,
        )


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        found = _TOKEN.match(text, at)
        if found is None:
            return [*tokens, _Token("end", "", len(text))]
        word = found.group()
        kind = cast("Literal['string', 'word', 'symbol']", found.lastgroup)
        tokens.append(_Token("number" if kind == "word" and _NUMBER.fullmatch(word) else kind, word, at))
        at = found.end()


def _number(text: str) -> int | float:
    """Return an int where 64 bits hold it, as SQLite does, else a float."""
    digits = text.lstrip("+-0")
    if digits.isdigit() and len(digits) <= 19 and -(2**63) <= int(text) < 2**63:
        return int(text)
    return float(text) if digits else 0


def _operator_hint(token: _Token, field: str) -> str:
    if token.kind == "word":
        if token.text.lower() == "not":
            return f"Write: not {field} in (...)."
        near = difflib.get_close_matches(token.text.lower(), KEY_WORDS, n=1)
        return f"Did you mean '{near[0]}'?" if near else ""
    return ""


def _symbol_hint(token: _Token) -> str:
    if token.kind == "symbol" and token.text in "'\"":
        return f"The quote is never closed: add another {token.text} after the text."
    fix = LOOKALIKES.get(token.text, "") if token.kind == "symbol" else ""
    return f"{fix[0].upper()}{fix[1:]}." if fix else ""


def _pointer(text: str, at: int, width: int = 72) -> str:
    """Return the part of `text` around `at` on one line, and a caret under it."""
    first = max(0, at - width // 2)
    line = "".join(" " if character.isspace() or not character.isprintable() else character for character in text)
    return f"  {line[first : first + width]}\n  {' ' * (at - first)}^"
