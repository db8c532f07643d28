"""`load`: from a specification such as "jsonl:PATH" to a verified `EvalSet`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from ragkit.errors import ConfigError, LoadError
from ragkit.eval.datasets.detection import detected
from ragkit.eval.datasets.draft import Draft
from ragkit.eval.datasets.formats import FORMATS, format_named, reader
from ragkit.eval.types import EvalSet


def load(spec: str | Path, *, strict: bool | None = None, name: str = "") -> EvalSet:
    """Return the data set that `spec` names, every evidence span verified against its document.

    `spec` is "PATH" (the format is detected), "FORMAT:PATH" or "hub:NAME", with options as in a URL:
    "beir:PATH?split=dev". `strict` True raises on the first flawed record, False drops it and counts the reason in
    `EvalSet.dropped`; by default ragkit's own format is strict and foreign ones are not. `name` replaces the name
    taken from the file or folder.

    Raises LoadError naming file, record and what was expected; UnknownPartError, ConfigError and MissingExtraError
    for a specification that cannot be followed.
    """
    format_name, source, options = _parsed(str(spec))
    if not format_name:
        format_name = detected(_existing(source))
    elif format_name != "hub":
        _existing(source)
    read = reader(format_name, options)
    draft = Draft(name or _stem(source), format_named(format_name).strict if strict is None else strict)
    read(source, draft, **options)
    return draft.finish(source)


def _parsed(spec: str) -> tuple[str, str, dict[str, str]]:
    """Return the format ("" if none is named), the path or name, and the options."""
    head, colon, tail = spec.partition(":")
    is_path = Path(spec).exists() or "/" in head or "\\" in head or len(head) == 1
    named = bool(colon) and (head in FORMATS or not is_path)
    if named:
        format_named(head)
    format_name, source = (head, tail) if named else ("", spec)
    path, mark, query = source.rpartition("?")
    if not mark or Path(source).exists():
        return format_name, source, {}
    try:
        return format_name, path, dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True))
    except ValueError:
        raise ConfigError(
            f"{spec}: {query!r} is not a list of options.", hint="Write them as KEY=VALUE&KEY=VALUE."
        ) from None


def _existing(source: str) -> Path:
    path = Path(source)
    if not path.exists():
        raise LoadError(
            f"{source}: there is no such file or folder; expected a data set.",
            hint=f"Check the path. For a data set of the hub write hub:{source.lstrip('/')}.",
        )
    return path


def _stem(source: str) -> str:
    """Return the last part of a path or hub name, without the endings of a file."""
    path = Path(source)
    name = path.name or path.resolve().name
    if path.is_file():
        for ending in (".gz", ".jsonl", ".json"):
            name = name.removesuffix(ending)
    return name
