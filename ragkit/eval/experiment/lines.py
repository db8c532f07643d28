"""YAML with the line of every key and item, so that an error can name the place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ragkit.errors import ConfigError, UsageError

Place = tuple[str | int, ...]
"""Keys and item numbers on the way from the top of the file to a value."""


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a YAML file by place; `()` is the top."""

    path: Path
    by_place: dict[Place, int]
    words: tuple[tuple[Place, str, int], ...] = ()
    """Every key and every single value: its place, its text, its line."""

    def where(self, place: Place) -> str:
        """Return "file:line" of the deepest part of `place` that the file has."""
        while place and place not in self.by_place:
            place = place[:-1]
        return f"{self.path}:{self.by_place.get(place, 1)}"

    def named(self, place: Place, message: str) -> str:
        """Return "file:line" of the key or value below `place` that `message` quotes, else of `place` itself."""
        below = (word for word in self.words if word[0][: len(place)] == place)
        quoted = [(text, line) for _, text, line in below if repr(text) in message]
        return f"{self.path}:{quoted[-1][1]}" if quoted else self.where(place)

    def error(self, place: Place, error: UsageError) -> ConfigError:
        """Return `error` with the place in front."""
        return ConfigError(f"{self.named(place, error.message)}: {error.message}", hint=error.hint)


def read_yaml(path: Path, begin: str = "Begin with `name:` and `sets:`.") -> tuple[dict[str, Any], Lines]:
    """Return the mapping in `path` and its lines; raise ConfigError naming file and line for anything else.

    `begin` tells those whose file is no mapping what to begin with.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.", hint="Give a readable YAML file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason}.", hint="Save it as UTF-8.") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}.", hint="Correct the line.") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.", hint="Correct the file.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}:1: expected keys with values at the top.", hint=begin)
    lines: dict[Place, int] = {(): 1}
    words = list(_words(node, ()))
    for place, text_there, line in words:
        is_key = bool(place) and place[-1] == text_there
        if is_key and place in lines:
            raise ConfigError(
                f"{path}:{line}: the key {text_there!r} is given twice, first in line {lines[place]}.",
                hint="Remove one of them.",
            )
        lines.setdefault(place, line)
    return content, Lines(path, lines, tuple(word for word in words if word[1]))


def _words(node: yaml.Node | None, place: Place, seen: set[int] | None = None) -> Iterator[tuple[Place, str, int]]:
    """Yield place, text and line of every key, item and value below `node`; an item that is no text has none.

    What an alias repeats is walked once, so that a node that holds itself ends.
    """
    seen = set() if seen is None else seen
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            yield inner, str(key.value), key.start_mark.line + 1
            yield from _words(value, inner, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            inner = (*place, number)
            yield inner, "", item.start_mark.line + 1
            yield from _words(item, inner, seen)
    elif isinstance(node, yaml.ScalarNode):
        yield (*place, 0), str(node.value), node.start_mark.line + 1
