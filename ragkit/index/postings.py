"""Lexical postings: one immutable Tantivy folder for each generation, and BM25 search in it.

Tantivy was chosen by measurement (benchmarks/lexical.py): at 100,000 chunks a query takes 1.3 ms, against 3 ms for
bm25s, which cannot delete, and 155 ms for SQLite's FTS5.

Tantivy keeps counting deleted documents in its statistics until their segment is merged. Scores must equal those of a
fresh index, so a generation that removes chunks is built anew; one that only adds shares the previous files by hard
links and appends.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tantivy import Document, Index, Occur, Query, SchemaBuilder

from ragkit.errors import CorruptIndexError, StorageError
from ragkit.index.analysis import analyzable, analyzer
from ragkit.index.durable import publish
from ragkit.index.manifest import NAME as MANIFEST
from ragkit.index.manifest import read_manifest, write_manifest
from ragkit.protocols import Rows

FORMAT = 1
HEAP_BYTES = 64 * 2**20
"""Memory of the writer; when it is full a segment is written, so building streams."""

_ANALYZER = "ragkit"
_GROWTH = 4
_SECONDS_PER_FILTER_ROW = 5e-6  # a filter inside the query, seen: 0.7 ms for 10 rows, 1.9 for 100, 5.4 for 1,000
_SECONDS_PER_FETCHED_HIT = 0.5e-6  # reading further hits, seen: 1.3 ms for 200, 1.8 for 1,000, 11.4 for 20,000

Scores = NDArray[np.float32]


def write_postings(  # noqa: PLR0917 - the order in which the change is told: where, from what, plus, minus, or all
    target: Path,
    previous: Path | None,
    added: Iterable[tuple[int, str]],
    removed: Collection[int],
    live: Callable[[], Iterable[tuple[int, str]]],
    language: str = "english",
) -> None:
    """Write the postings of one generation as the folder `target`, whole or not at all.

    Args:
        target: The new folder; one left there by a killed run is replaced.
        previous: The folder of the generation before, or None.
        added: The new rows with their text; read once, and only where the previous folder is extended.
        removed: The rows that the previous folder holds and `target` must not.
        live: Gives all rows of the new generation with their text; called where everything is built anew.
        language: Whose words are stemmed, see `ragkit.index.analysis`.

    Raises StorageError where the folder cannot be written, CorruptIndexError where `previous` is damaged.
    """
    building = target.with_name(target.name + ".tmp")
    shutil.rmtree(building, ignore_errors=True)
    try:
        if previous is None or removed:
            building.mkdir(parents=True)
            count = _append(building, live(), language)
        else:
            facts = read_manifest(previous)
            _clone(previous, building, facts["files"])
            count = facts["documents"] + _append(building, added, facts["language"])
        for lock in building.glob(".tantivy-*.lock"):
            lock.unlink()
        write_manifest(building, format=FORMAT, language=language, documents=count)
        shutil.rmtree(target, ignore_errors=True)
        publish(building, target)
    except ValueError as error:  # how Tantivy reports what the disk refuses
        raise StorageError(
            f"The lexical index {target} cannot be written: {error}.", hint="Free disk space or correct the rights."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


class Postings:
    """The postings of one generation, open for reading."""

    def __init__(self, folder: Path, index: Any, language: str, documents: int) -> None:
        self.folder = folder
        self.documents = documents
        self._schema = index.schema
        self._searcher = index.searcher()
        self._analyzer = analyzer(language)

    @classmethod
    def open(cls, folder: Path) -> Postings:
        """Return the postings in `folder`.

        Raises CorruptIndexError naming the file that is not as it was written, FileNotFoundError where the folder is
        gone, as when a writer has removed an old generation.
        """
        if not folder.is_dir():
            raise FileNotFoundError(2, "missing", str(folder))
        facts = read_manifest(folder)
        if facts.get("format") != FORMAT:
            raise CorruptIndexError(
                f"{folder} has the format {facts.get('format')}; this version reads {FORMAT}.",
                hint="Run: ragkit repair",
            )
        index = _open(folder, facts["language"])
        postings = cls(folder, index, facts["language"], facts["documents"])
        if postings._searcher.num_docs != postings.documents:
            raise CorruptIndexError(
                f"{folder} holds {postings._searcher.num_docs:,} chunks; {postings.documents:,} were written.",
                hint="Run: ragkit repair",
            )
        return postings

    def terms(self, query: str) -> Counter[str]:
        """Return the terms of `query` with the number of times each occurs."""
        return Counter(self._analyzer.analyze(analyzable(query)))

    def search(self, query: str, limit: int, rows: Rows | None = None) -> tuple[Rows, Scores]:
        """Return the rows with the highest BM25 scores, best first; ties at the cut-off are all returned.

        BM25 has k1 = 1.2, b = 0.75 and field lengths rounded as Lucene does; a term that the query repeats counts as
        often. The query is plain text without operators. `rows`, sorted, restricts the result and changes no score.
        """
        terms = self.terms(query)
        if limit <= 0 or not terms or (rows is not None and not len(rows)):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        question = self._question(terms)
        if rows is None:
            return self._best(question, limit, limit + 1, None)
        fetch = (limit + 1) * max(1, self.documents // len(rows)) * 2
        if len(rows) * _SECONDS_PER_FILTER_ROW < fetch * _SECONDS_PER_FETCHED_HIT:
            return self._best(self._restricted(question, rows), limit, limit + 1, None)
        return self._best(question, limit, fetch, rows)

    def rows(self) -> Rows:
        """Return all rows that the postings hold, sorted."""
        found, _ = self._fetch(Query.all_query(), max(1, self._searcher.num_docs))
        return np.sort(found)

    def _question(self, terms: Counter[str]) -> Any:
        clauses = []
        for term, count in terms.items():
            clause = Query.term_query(self._schema, "text", term, index_option="freq")
            clauses.append((Occur.Should, clause if count == 1 else Query.boost_query(clause, float(count))))
        return Query.boolean_query(clauses)

    def _restricted(self, question: Any, rows: Rows) -> Any:
        chosen = Query.const_score_query(Query.term_set_query(self._schema, "row", rows.tolist()), 0.0)
        return Query.boolean_query([(Occur.Must, question), (Occur.Must, chosen)])

    def _best(self, question: Any, limit: int, fetch: int, rows: Rows | None) -> tuple[Rows, Scores]:
        """Fetch further until `limit` hits are among `rows` and the next one scores less."""
        while True:
            found, scores = self._fetch(question, fetch)
            exhausted, last = len(found) < fetch, scores[-1] if len(scores) else 0
            if rows is not None:
                wanted = _contained(found, rows)
                found, scores = found[wanted], scores[wanted]
            if exhausted or (len(found) >= limit and last < scores[limit - 1]):
                kept = len(found) if len(found) <= limit else int(np.sum(scores >= scores[limit - 1]))
                return found[:kept], scores[:kept]
            fetch *= _GROWTH

    def _fetch(self, question: Any, limit: int) -> tuple[Rows, Scores]:
        hits = self._searcher.search(question, limit, count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in hits])
        return np.array(rows, np.int64), np.array([score for score, _ in hits], np.float32)


def verify_postings(folder: Path, rows: Sequence[int] | Rows) -> list[str]:
    """Return what is wrong with the postings in `folder`, which should hold exactly `rows`; empty if nothing is."""
    try:
        held = Postings.open(folder).rows()
    except CorruptIndexError as error:
        return [error.message]
    except FileNotFoundError:
        return [f"{folder} is missing"]
    wanted = np.sort(np.asarray(rows, dtype=np.int64))
    problems = []
    for label, odd in (("lacks", np.setdiff1d(wanted, held)), ("should not hold", np.setdiff1d(held, wanted))):
        if len(odd):
            problems.append(f"{folder} {label} {len(odd):,} chunks, the first being row {odd[0]}")
    if not problems and len(held) != len(wanted):
        problems.append(f"{folder} holds {len(held):,} chunks where {len(wanted):,} are in the ledger")
    return problems


def _contained(values: Rows, rows: Rows) -> NDArray[np.bool_]:
    """Return for each value whether it is in the sorted, non-empty `rows`."""
    places = np.minimum(np.searchsorted(rows, values), len(rows) - 1)
    found: NDArray[np.bool_] = rows[places] == values
    return found


def _append(folder: Path, texts: Iterable[tuple[int, str]], language: str) -> int:
    """Add `texts` to the Tantivy index in `folder`, made if there is none, and return how many there were."""
    index = _open(folder, language)
    writer = index.writer(heap_size=HEAP_BYTES, num_threads=min(2, os.cpu_count() or 1))
    count = 0
    try:
        for row, text in texts:
            writer.add_document(Document(text=analyzable(text), row=row))
            count += 1
        if count:
            writer.commit()
    except BaseException:
        with suppress(ValueError):
            writer.rollback()
        raise
    finally:
        writer.wait_merging_threads()  # after which no thread of Tantivy writes into the folder
    return count


def _open(folder: Path, language: str) -> Any:
    """Return the Tantivy index in `folder`, opened without a thread that watches for changes."""
    builder = SchemaBuilder()
    builder.add_text_field("text", stored=False, tokenizer_name=_ANALYZER, index_option="freq")
    builder.add_integer_field("row", stored=False, indexed=True, fast=True)
    index = Index(builder.build(), path=str(folder))
    index.register_tokenizer(_ANALYZER, analyzer(language))
    index.config_reader("manual")
    return index


def _clone(source: Path, target: Path, names: Iterable[str]) -> None:
    """Make `target` a folder with the same files; Tantivy never changes a segment file, so those are shared."""
    target.mkdir(parents=True)
    for name in names:
        if not name.endswith(".json"):
            with suppress(OSError):  # a file system without hard links
                os.link(source / name, target / name)
                continue
        shutil.copyfile(source / name, target / name)
    (target / MANIFEST).unlink(missing_ok=True)
