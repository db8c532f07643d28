"""The formats by name: where the reader of each lies, and whether a flaw in it stops the loading."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ragkit.errors import ConfigError, UnknownPartError
from ragkit.plugins import suggestion

Reader = Callable[..., None]
"""`read(source, draft, **options)` fills `draft` from a path or a hub name; options are texts."""


class Format(NamedTuple):
    """A format: the module with its `read`, and whether one flaw is an error (else the record is dropped)."""

    module: str
    strict: bool


_HERE = "ragkit.eval.datasets"

FORMATS: Mapping[str, Format] = {
    "jsonl": Format(f"{_HERE}.jsonl", strict=True),
    "beir": Format(f"{_HERE}.beir", strict=False),
    "squad": Format(f"{_HERE}.squad", strict=False),
    "hotpotqa": Format(f"{_HERE}.hotpotqa", strict=False),
    "2wiki": Format(f"{_HERE}.two_wiki", strict=False),
    "multihop_rag": Format(f"{_HERE}.multihop_rag", strict=False),
    "qasper": Format(f"{_HERE}.qasper", strict=False),
    "longbench": Format(f"{_HERE}.longbench", strict=False),
    "longbench_v2": Format(f"{_HERE}.longbench_v2", strict=False),
    "hub": Format(f"{_HERE}.hub", strict=False),
}
"""Foreign formats drop and count flawed records, because some of the published data is known to be imperfect."""


def format_named(name: str) -> Format:
    """Return the format `name`; raise UnknownPartError with the nearest name."""
    if name not in FORMATS:
        raise UnknownPartError(
            f"There is no data set format named {name!r}.",
            hint=f"{suggestion(name, list(FORMATS))} Available: {', '.join(FORMATS)}.".lstrip(),
        )
    return FORMATS[name]


def reader(name: str, options: Mapping[str, str]) -> Reader:
    """Return the `read` function of the format `name`, after checking that it knows all `options`."""
    read: Reader = importlib.import_module(format_named(name).module).read
    allowed = [key for key in inspect.signature(read).parameters if key not in {"source", "draft"}]
    for key in options:
        if key not in allowed:
            raise ConfigError(
                f"The data set format {name!r} has no option {key!r}.",
                hint=f"{suggestion(key, allowed)} Options: {', '.join(allowed) or 'none'}.".lstrip(),
            )
    return read
