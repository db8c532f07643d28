"""Reads every file of the public data set `real_formats` and prints what came out, as a Markdown table.

    python benchmarks/formats.py [FOLDER]

Word recall: the share of the words of the reference text (casefolded, NFKC, with multiplicity) that the loaded text
has. The references are one converter's output (docling), not a gold transcription: it repeats merged cells, writes
equations as LaTeX and keeps navigation, and each of those lowers the figure.
"""

from __future__ import annotations

import os
import re
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from ragkit.config import LoadingConfig
from ragkit.loaders.failure import Failure
from ragkit.loaders.reading import read

_WORD = re.compile(r"\w+")
# Comments, entities and link targets of the Markdown references are no words of the document.
_MARKUP = re.compile(r"<!--.*?-->|&(?:lt|gt|amp);|\]\((?:[^()\s]|\([^()\s]*\))*\)", re.DOTALL)

_ESCAPED = re.compile(r"\\([_*#\[\]|<>`~])")


@dataclass(frozen=True, slots=True)
class Row:
    """One file: what was read, in how many seconds, or why not."""

    format: str
    file: str
    seconds: float
    characters: int
    pages: int
    recall: float | None
    reason: str

    def line(self) -> str:
        """Return the row of the table."""
        recall = "" if self.recall is None else f"{self.recall:.3f}"
        pages = str(self.pages or "")
        read_as = f"{self.characters:,} | {pages} | {recall} |" if not self.reason else f"| | | {self.reason}"
        return f"| {self.format} | {self.file} | {self.seconds:.3f} | {read_as} |"


def words(text: str) -> Counter[str]:
    """Return the words of `text` with their counts."""
    return Counter(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def word_recall(text: str, reference: str) -> float:
    """Return the share of the words of `reference` that `text` has, with multiplicity."""
    wanted = words(_MARKUP.sub(" ", _ESCAPED.sub(r"\1", reference)))
    return sum((words(text) & wanted).values()) / max(1, wanted.total())


def measure(folder: Path) -> list[Row]:
    """Return a row for every file of the data set in `folder`."""
    caps = LoadingConfig()
    list(read(_warm_up(folder), caps))
    return [_row(path, folder / "reference" / f"{path.name}.md", caps) for path in sorted((folder / "files").iterdir())]


def _warm_up(folder: Path) -> Path:
    """Return a file whose reading starts the parsing process, so that no row pays for it."""
    return next((folder / "files").glob("*.pdf"))


def _row(path: Path, reference: Path, caps: LoadingConfig) -> Row:
    started = time.perf_counter()
    items = list(read(path, caps))
    seconds = time.perf_counter() - started
    failures = [item.reason for item in items if isinstance(item, Failure)]
    documents = [item for item in items if not isinstance(item, Failure)]
    text = "\n".join(document.text for document in documents)
    recall = word_recall(text, reference.read_text(encoding="utf-8")) if documents and reference.exists() else None
    pages = sum(len(document.pages) for document in documents)
    return Row(path.suffix[1:], path.name, seconds, len(text), pages, recall, "; ".join(failures))


def main() -> None:
    """Print the table, and the mean recall of each format."""
    default = Path(os.environ.get("RAGKIT_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "real_formats"
    rows = measure(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
    print("| format | file | seconds | characters | pages | word recall | refused because |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in sorted(rows, key=lambda row: (row.format, row.file)):
        print(row.line())
    recalls: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.recall is not None:
            recalls[row.format].append(row.recall)
    print("\n| format | files with a reference | mean word recall | lowest |\n| --- | --- | --- | --- |")
    for name, found in sorted(recalls.items()):
        print(f"| {name} | {len(found)} | {sum(found) / len(found):.3f} | {min(found):.3f} |")


if __name__ == "__main__":
    main()
