"""Which engine should hold the postings? Tantivy, bm25s and SQLite's FTS5 on the same chunks and questions.

Measured: building, adding one chunk, deleting one, a query for the best 50; and whether scores after a deletion equal
those of a fresh index, which the index promises. Prints a Markdown table. Needs the extra `bench`.

    python -m benchmarks.lexical [CHUNKS]
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.windows import milliseconds, questions, seconds, windows
from ragkit.index.postings import Postings, write_postings

BEST = 50


def tantivy(texts: list[str], asked: list[str], folder: Path) -> list[str]:
    """The way ragkit uses it: an addition appends, a deletion builds anew."""
    rows = dict(enumerate(texts))
    build = seconds(lambda: write_postings(folder / "0", None, [], [], rows.items))
    add = seconds(lambda: write_postings(folder / "1", folder / "0", [(len(texts), texts[0])], [], rows.items))
    gone = {row: text for row, text in rows.items() if row != 5}
    delete = seconds(lambda: write_postings(folder / "2", folder / "0", [], [5], gone.items))
    opened: list[Postings] = []
    opening = seconds(lambda: opened.append(Postings.open(folder / "1")))
    query = milliseconds(lambda question: opened[0].search(question, BEST), asked)
    write_postings(folder / "fresh", None, [], [], gone.items)
    one, two = Postings.open(folder / "2"), Postings.open(folder / "fresh")
    equal = all(scores_of(one, question) == scores_of(two, question) for question in asked)
    print(f"Opening with all checksums: {opening * 1e3:.0f} ms", file=sys.stderr)
    return line("Tantivy, deletion by rebuilding", build, add, delete, query, equal)


def tantivy_marking(texts: list[str], asked: list[str], folder: Path) -> list[str]:
    """Deletion by Tantivy's own marks, which leave the statistics as they were."""
    from tantivy import Index

    from ragkit.index.analysis import analyzer

    write_postings(folder / "marked", None, [], [], lambda: enumerate(texts))
    index = Index.open(str(folder / "marked"))
    index.register_tokenizer("ragkit", analyzer("english"))

    def delete() -> None:
        writer = index.writer(heap_size=50_000_000, num_threads=1)
        writer.delete_documents_by_term("row", 5)
        writer.commit()
        writer.wait_merging_threads()

    took = seconds(delete)
    index.config_reader("manual")
    index.reload()
    marked, fresh = Postings(folder, index, "english", len(texts) - 1), Postings.open(folder / "fresh")
    equal = all(scores_of(marked, question) == scores_of(fresh, question) for question in asked)
    query = milliseconds(lambda question: marked.search(question, BEST), asked)
    return line("Tantivy, deletion by marks", None, None, took, query, equal)


def scores_of(postings: Postings, question: str) -> dict[int, float]:
    rows, scores = postings.search(question, BEST)
    return dict(zip(rows.tolist(), scores.tolist(), strict=True))


def bm25s(texts: list[str], asked: list[str], _: Path) -> list[str]:
    """It scores while it indexes, so any change means building anew."""
    import bm25s as engine

    index = engine.BM25()
    build = seconds(lambda: index.index(engine.tokenize(texts, show_progress=False), show_progress=False))

    def search(question: str) -> None:
        index.retrieve(engine.tokenize([question], show_progress=False), k=BEST, show_progress=False)

    return line("bm25s (no add or delete)", build, build, build, milliseconds(search, asked), None)


def fts5(texts: list[str], asked: list[str], folder: Path) -> list[str]:
    """SQLite's own full-text index; statistics are those of the present rows."""
    connection = sqlite3.connect(folder / "fts.db")
    connection.execute("CREATE VIRTUAL TABLE chunks USING fts5(text, detail=none, tokenize='porter unicode61')")

    def change(statement: str, values: list[tuple[object, ...]]) -> Callable[[], None]:
        def run() -> None:
            connection.executemany(statement, values)
            connection.commit()

        return run

    def search(question: str) -> list[tuple[int, float]]:
        words = " OR ".join(f'"{word}"' for word in dict.fromkeys(re.findall(r"\w+", question.lower())))
        statement = "SELECT rowid, bm25(chunks) FROM chunks WHERE chunks MATCH ? ORDER BY rank LIMIT ?"
        return connection.execute(statement, (words, BEST)).fetchall()

    insert = "INSERT INTO chunks(rowid, text) VALUES (?, ?)"
    build = seconds(change(insert, list(enumerate(texts))))
    fresh = [search(question) for question in asked[:5]]
    add = seconds(change(insert, [(len(texts), texts[0])]))
    delete = seconds(change("DELETE FROM chunks WHERE rowid = ?", [(len(texts),)]))
    equal = fresh == [search(question) for question in asked[:5]]
    return line("SQLite FTS5", build, add, delete, milliseconds(search, asked[:40]), equal)


def line(
    name: str, build: float | None, add: float | None, delete: float, query: tuple[float, float], equal: bool | None
) -> list[str]:
    shown = [f"{value:.3f}" if value is not None else "" for value in (build, add, delete)]
    return [name, *shown, f"{query[0]:.2f}", f"{query[1]:.2f}", {True: "yes", False: "no", None: "built anew"}[equal]]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    texts, asked = windows(count), questions(300)
    print(f"{count:,} chunks of {int(np.mean(list(map(len, texts))))} characters; {describe('bm25s')}\n")
    print("| engine | build, s | add one, s | delete one, s | query p50, ms | p99 | as fresh after a deletion |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    folder = Path(tempfile.mkdtemp())
    try:
        for engine in (tantivy, tantivy_marking, bm25s, fts5):
            print(f"| {' | '.join(engine(texts, asked, folder))} |", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
