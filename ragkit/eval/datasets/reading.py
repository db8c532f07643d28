"""Files to records, each with its place; what cannot be read is an error that names it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from ragkit.errors import LoadError
from ragkit.eval.datasets.draft import Flaw
from ragkit.plugins import suggestion

Row = TypeVar("Row", bound=BaseModel)


class ForeignRow(BaseModel):
    """A record of a published format: the fields that are used, strictly typed; others are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Yield `path` open for reading bytes, unpacked if it ends in ".gz"; raise LoadError for what goes wrong."""
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            yield cast(IO[bytes], file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LoadError(f"{path}: the gzip data is damaged: {error}.", hint="Fetch the file again.") from error
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror or error}.", hint="Give a readable file.") from error


def lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (place, content) of every line that is not blank; a byte order mark is skipped."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not content.isspace():
                yield f"{path}, line {number}", content


def json_file(path: Path) -> Any:
    """Return the content of a JSON file; raise LoadError naming file, line and column."""
    with opened(path) as file:
        content = file.read()
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        found = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        found = f"byte {error.start} is not valid UTF-8"
    except RecursionError:
        found = "its values are nested too deeply"
    raise LoadError(f"{path}: {found}; expected one JSON value.", hint="Fetch the file again, or correct it.")


def expect(value: Any, kind: type[list[Any]] | type[dict[str, Any]], place: str, what: str) -> Any:
    """Return `value` if it is a list or an object; raise LoadError saying that `what` was expected at `place`."""
    if not isinstance(value, kind):
        raise LoadError(
            f"{place}: found {_kind(value)}; expected {what}.", hint="Check the file, or name another format."
        )
    return value


def row(model: type[Row], content: Any) -> Row:
    """Return `content` (JSON bytes or a parsed value) as a `model`; raise Flaw saying which field is wrong and how."""
    try:
        return model.model_validate_json(content) if isinstance(content, bytes) else model.model_validate(content)
    except ValidationError as error:
        raise Flaw("malformed record", _clause(model, error)) from None


def _clause(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    if first["type"] == "json_invalid":
        return f"{first['msg']}; expected one JSON object"
    if first["type"] == "extra_forbidden":
        valid = list(model.model_fields)
        near = suggestion(str(first["loc"][-1]), valid)
        return f"unknown field {where!r}; {near + ' ' if near else ''}expected only {', '.join(valid)}"
    if first["type"] == "missing":
        return f"the field {where!r} is missing; expected a {model.__name__} with {', '.join(model.model_fields)}"
    return f"{where or 'the record'} is {repr(first['input'])[:60]}: {first['msg']}"


def _kind(value: Any) -> str:
    names: dict[type[Any], str] = {dict: "an object", list: "a list", str: "a text"}
    return names.get(type(value), repr(value))
