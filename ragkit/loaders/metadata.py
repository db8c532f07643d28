"""Metadata from the outside world: only scalars that JSON and SQLite can hold are kept."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping

from ragkit.schema import MetadataValue

_MAX_CHARACTERS = 10_000


def scalars(fields: Mapping[object, object]) -> dict[str, MetadataValue]:
    """Return the entries of `fields` with a text key and a scalar value.

    Dates become ISO text, lists of scalars one text joined by ", ", numbers outside JSON or 64 bits text. Other
    values, and texts over 10,000 characters, are left out.

    >>> scalars({"title": "Ducks", "tags": ["a", "b"], "parts": {"x": 1}})
    {'title': 'Ducks', 'tags': 'a, b'}
    """
    kept: dict[str, MetadataValue] = {}
    for key, value in fields.items():
        if isinstance(value, (list, tuple)):
            items = [_scalar(item) for item in value[:1000]]
            value = None if None in items else ", ".join(str(item) for item in items)  # noqa: PLW2901 - narrowed
            if not value:
                continue
        scalar = _scalar(value)
        if isinstance(key, str) and _storable(key) and (scalar is not None or value is None):
            kept[key] = scalar
    return kept


def _scalar(value: object) -> MetadataValue:
    match value:
        case bool():
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else _text(hex(value))
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return _text(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return None


def _text(value: str) -> str | None:
    return value if len(value) <= _MAX_CHARACTERS and _storable(value) else None


def _storable(value: str) -> bool:
    """Return whether `value` has no half surrogates."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
