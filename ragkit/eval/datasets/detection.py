"""Which format a path holds, from file names and the keys at the head of a file."""

from __future__ import annotations

import re
from pathlib import Path

from ragkit.errors import LoadError
from ragkit.eval.datasets.formats import FORMATS
from ragkit.eval.datasets.reading import opened

_HEAD_BYTES = 1 << 20
"""Enough for the keys of every format: HotpotQA's records are about 7 kB, a QASPER paper about 50 kB; those of
LongBench v2 are up to 20 MB, but begin with all keys but the context's."""

_KEYS: tuple[tuple[str, frozenset[bytes]], ...] = (
    ("qasper", frozenset({b"full_text", b"qas"})),
    ("squad", frozenset({b"paragraphs", b"qas", b"context"})),
    ("2wiki", frozenset({b"supporting_facts", b"evidences", b"context"})),
    ("hotpotqa", frozenset({b"supporting_facts", b"context"})),
    ("multihop_rag", frozenset({b"evidence_list", b"query"})),
    ("longbench_v2", frozenset({b"question", b"choice_A", b"choice_B", b"choice_C", b"choice_D"})),
    ("longbench", frozenset({b"input", b"context", b"answers"})),
)
"""The first format all of whose keys occur is taken, so a format stands before those whose keys are a part of its."""


def detected(path: Path) -> str:
    """Return the name of the format of `path`; raise LoadError listing what is recognised."""
    found = _folder_format(path) if path.is_dir() else _file_format(path)
    if found:
        return found
    raise LoadError(
        f"{path}: the format was not recognised; expected a folder with corpus.jsonl and queries.jsonl, or a file of "
        f"one of {', '.join(name for name in FORMATS if name not in {'jsonl', 'hub'})}.",
        hint="Name the format, as in squad:PATH.",
    )


def _folder_format(folder: Path) -> str:
    if (folder / "qrels").is_dir():
        return "beir"
    if any((folder / f"corpus.jsonl{ending}").is_file() for ending in ("", ".gz")):
        return "jsonl"
    if (folder / "corpus.json").is_file():
        return "multihop_rag"
    tasks = sorted(folder.glob("*.jsonl"))
    return "longbench" if tasks and all(_file_format(task) == "longbench" for task in tasks[:3]) else ""


def _file_format(path: Path) -> str:
    with opened(path) as file:
        head = file.read(_HEAD_BYTES)
    keys = set(re.findall(rb'"(\w+)"\s*:', head))
    return next((name for name, needed in _KEYS if needed <= keys), "")
