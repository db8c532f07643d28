"""Write docs/json.md: the schema of every JSON reply, from the classes in ragkit/cli/contract.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ragkit.cli.contract import COMMANDS, Reply

TARGET = Path(__file__).parents[1] / "docs" / "json.md"

HEAD = """# JSON replies

Every command takes `--json` and then writes one JSON object, on one line in UTF-8, to standard output. Keys are added
over time, never renamed or removed. Offsets are Unicode code points into the document's text, half-open; for formats
that are not plain text, `ragkit chunk FILE --text` prints that text. Numbers are always finite. A `source` is the
absolute path of the file.

Under `--json` nothing else is printed: no progress, no warnings. When a command fails, standard output is empty and
standard error holds one object, described last; that includes a command line that cannot be understood.

| exit status | meaning |
| ---: | --- |
| 0 | done |
| 1 | failure; for `verify` and `repair` also: problems were found, or remain (the reply is on standard output) |
| 2 | wrong use: nothing was attempted |
| 3 | some inputs failed (`failed` in the reply), the rest was done |
| 130 | interrupted by Ctrl-C; the index is whole |
| 141 | the reader of standard output went away |

This page is generated from `ragkit/cli/contract.py` by `make docs`.
"""


def type_name(schema: dict[str, Any]) -> str:
    """Return a short name for the type of one key.

    >>> type_name({"anyOf": [{"type": "integer"}, {"type": "null"}]})
    'integer or null'
    """
    if "anyOf" in schema:
        return " or ".join(type_name(part) for part in schema["anyOf"])
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[-1].removesuffix("Reply")
    if schema.get("type") == "array":
        return f"list of {type_name(schema['items'])}"
    return str(schema.get("type", "any"))


def table(schema: dict[str, Any]) -> str:
    """Return the keys of an object schema as a Markdown table."""
    rows = [
        f"| `{key}` | {type_name(part)} | {part.get('description', '')} |" for key, part in schema["properties"].items()
    ]
    return "\n".join(["| key | type | meaning |", "| --- | --- | --- |", *rows])


def untitled(schema: Any) -> Any:
    """Return `schema` without the titles that only repeat the names of keys."""
    match schema:
        case dict():
            return {key: untitled(part) for key, part in schema.items() if key != "title" or isinstance(part, dict)}
        case list():
            return [untitled(part) for part in schema]
        case _:
            return schema


def section(command: str, reply: type[Reply]) -> str:
    """Return the section of one command: its keys, those of the objects inside, and the JSON schema."""
    schema = reply.model_json_schema()
    title = "Errors" if command == "errors" else f"`ragkit {command}`"
    parts = [f"## {title}", schema["description"], table(schema)]
    for name, inner in schema.get("$defs", {}).items():
        parts += [f"Each {name.removesuffix('Reply')}: {inner['description']}", table(inner)]
    compact = json.dumps(untitled(schema), sort_keys=True)
    parts.append(f"<details><summary>JSON schema</summary>\n\n```json\n{compact}\n```\n\n</details>")
    return "\n\n".join(parts)


def page() -> str:
    """Return the whole page."""
    return "\n\n".join([HEAD.strip(), *(section(command, reply) for command, reply in COMMANDS.items())]) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(page(), encoding="utf-8")
