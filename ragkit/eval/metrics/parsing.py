"""From text to a measure: `Recall(redundancy="union")@chars(2000)`. Nothing is executed: only literals are read."""

from __future__ import annotations

import ast

from ragkit.errors import UnknownPartError, UsageError
from ragkit.eval.metrics.cutoff import KINDS, Cutoff, CutoffKind
from ragkit.eval.metrics.measure import Measure, Value
from ragkit.eval.metrics.registry import MEASURES
from ragkit.plugins import suggestion

LONGEST = 500
"""Characters a measure may have; deeply nested text would exhaust the parser's stack."""


def parse(text: str) -> Measure:
    """Return the measure that `text` writes; `str()` gives the text back.

    Raises UnknownPartError with the nearest valid name, and UsageError for anything else that is wrong.

    >>> parse("nDCG@10")
    nDCG@10
    """
    try:
        if len(text) > LONGEST:
            raise SyntaxError
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _unreadable(text) from None
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.MatMult):
        return _measure(tree.left, text) @ _cutoff(tree.right, text)
    return _measure(tree, text)


def find(name: str) -> Measure:
    """Return the measure of that name without options; raise UnknownPartError with the nearest one."""
    if name in MEASURES:
        return MEASURES[name]
    folded = {known.casefold(): known for known in MEASURES}
    near = suggestion(name.casefold(), list(folded))
    for small, known in folded.items():
        near = near.replace(repr(small), repr(known))
    raise UnknownPartError(
        f"There is no measure named {name!r}.", hint=f"{near} Available: {', '.join(MEASURES)}.".lstrip()
    )


def _measure(node: ast.expr, text: str) -> Measure:
    match node:
        case ast.Name(id=name):
            return find(name)
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            measure = find(name)
            names = [keyword.arg for keyword in keywords]
            if None in names or len(set(names)) < len(names):
                raise _unreadable(text)
            return measure(**{str(keyword.arg): _literal(keyword.value, text) for keyword in keywords})
    raise _unreadable(text)


def _cutoff(node: ast.expr, text: str) -> Cutoff:
    match node:
        case ast.Constant(value=int(size)) if not isinstance(size, bool):
            return Cutoff("k", size)
        case ast.Call(func=ast.Name(id=name), args=[], keywords=[]) if name == "adaptive":
            return Cutoff("adaptive")
        case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=int(size))], keywords=[]):
            return Cutoff(_kind(name, text), size)
        case ast.Call(func=ast.Name(id=name)):
            _kind(name, text)
    raise _unreadable(text)


def _kind(name: str, text: str) -> CutoffKind:
    for kind in KINDS[1:]:
        if name == kind:
            return kind
    raise UsageError(
        f"{text!r}: there is no cut-off named {name!r}.",
        hint=f"{suggestion(name, list(KINDS[1:]))} Available: {', '.join(KINDS[1:])}, or a plain number.".lstrip(),
    )


def _literal(node: ast.expr, text: str) -> Value:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        raise _unreadable(text) from None
    if isinstance(value, bool | int | float | str):
        return value
    raise _unreadable(text)


def _unreadable(text: str) -> UsageError:
    return UsageError(
        f"{text[:LONGEST]!r} is not a measure; a name, options in parentheses and a cut-off after @ were expected.",
        hint='Write for instance Recall@5, IoU@tokens(400) or Recall(redundancy="union")@chars(2000).',
    )
