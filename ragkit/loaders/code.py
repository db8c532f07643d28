"""Source code and configuration: the file's characters as they are, one block for each top-level definition."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from ragkit.config import LoadingConfig
from ragkit.loaders.blocks import line_starts, paragraphs, trimmed
from ragkit.loaders.files import read_text, source_of
from ragkit.schema import Block, BlockKind, Document

LANGUAGES = {
    **dict.fromkeys((".py", ".pyi", ".pyw"), "python"),
    **dict.fromkeys((".js", ".jsx", ".mjs", ".cjs"), "javascript"),
    **dict.fromkeys((".ts", ".tsx", ".mts", ".cts"), "typescript"),
    **dict.fromkeys((".c", ".h"), "c"),
    **dict.fromkeys((".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".cu", ".cuh"), "c++"),
    **dict.fromkeys((".sh", ".bash", ".zsh", ".fish"), "shell"),
    **dict.fromkeys((".kt", ".kts"), "kotlin"),
    **dict.fromkeys((".scala", ".sc"), "scala"),
    **dict.fromkeys((".ex", ".exs"), "elixir"),
    **dict.fromkeys((".clj", ".cljs"), "clojure"),
    **dict.fromkeys((".ml", ".mli"), "ocaml"),
    **dict.fromkeys((".yaml", ".yml"), "yaml"),
    **dict.fromkeys((".ini", ".cfg", ".conf", ".properties"), "ini"),
    **dict.fromkeys((".css", ".scss", ".sass", ".less"), "css"),
    **dict.fromkeys((".json", ".json5"), "json"),
    **dict.fromkeys((".tf", ".hcl"), "hcl"),
    **dict.fromkeys((".pl", ".pm"), "perl"),
    **dict.fromkeys((".f90", ".f", ".for"), "fortran"),
    **{".java": "java", ".go": "go", ".rs": "rust", ".cs": "c#", ".rb": "ruby", ".php": "php", ".sql": "sql"},
    **{".swift": "swift", ".r": "r", ".jl": "julia", ".lua": "lua", ".toml": "toml", ".hs": "haskell", ".m": "matlab"},
    **{".dart": "dart", ".zig": "zig", ".nim": "nim", ".erl": "erlang", ".ps1": "powershell", ".bat": "batch"},
    **{".proto": "protobuf", ".graphql": "graphql", ".vue": "vue", ".svelte": "svelte", ".mk": "make"},
    **{".cmake": "cmake", ".gradle": "groovy", ".groovy": "groovy", ".asm": "assembly", ".vb": "visual basic"},
}
_OPENS = re.compile(r"[^\s)\]}]")


class CodeLoader:
    """Reads source code; `metadata["language"]` names its language."""

    suffixes = tuple(LANGUAGES)

    def __init__(self, caps: LoadingConfig) -> None:
        self._caps = caps

    def load(self, path: Path) -> Iterator[Document]:
        """Yield one document; its text is the decoded file, verbatim but for a byte order mark."""
        decoded = read_text(path, self._caps)
        language = LANGUAGES.get(path.suffix.lower(), "unknown")
        spans = python_spans(decoded.text) if language == "python" else None
        blocks = (Block(BlockKind.CODE, *span) for span in spans or unindented_spans(decoded.text))
        yield Document(
            decoded.text,
            source_of(path),
            metadata={"language": language, **decoded.metadata},
            blocks=tuple(blocks),
        )


def python_spans(text: str) -> list[tuple[int, int]] | None:
    """Return one span for each top-level class or function and each run of other statements; None if it cannot parse.

    Comments above a definition belong to it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = line_starts(text)
    cuts: list[int] = [0]
    after_definition = True
    previous_end = 0
    for node in body:
        definition = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if definition or after_definition:
            cuts.append(min(previous_end, len(lines) - 1))
        after_definition = definition
        previous_end = node.end_lineno or node.lineno
    offsets = [*(lines[cut] for cut in cuts), len(text)]
    spans = [trimmed(text, *pair) for pair in pairwise(offsets)]
    return [(start, end) for start, end in spans if start < end]


def unindented_spans(text: str) -> list[tuple[int, int]]:
    """Return spans that start where an unindented line other than a closing bracket follows an empty line."""
    spans: list[tuple[int, int]] = []
    for start, end in paragraphs(text):
        if spans and not _OPENS.match(text, start):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans
