"""Commits: generations, snapshots that stand still, exact texts, compaction, and one writer at a time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from ragkit.errors import (
    ContractError,
    CorruptIndexError,
    IndexLockedError,
    IndexMismatchError,
    MissingIndexError,
    StorageError,
)
from ragkit.index.compaction import MERGE_ABOVE
from ragkit.index.create import create_index, index_exists
from ragkit.index.lock import writer_lock
from ragkit.index.snapshot import Snapshot
from ragkit.index.writer import IndexWriter, SourceState
from ragkit.schema import Chunk, Chunked, Document
from tests.index.small import DIMENSION, cut, embed, header, vector

TEXT = "one two three four\n\nfive six seven eight nine\r\nten eleven\x00twelve  "


def test_no_index_is_an_error_that_creates_nothing(tmp_path):
    with pytest.raises(MissingIndexError, match="There is no index"):
        Snapshot(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_an_index_never_moves_into_a_folder_with_other_files(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"thesis\.txt"):
        create_index(tmp_path, header())
    assert not index_exists(tmp_path)


def test_an_empty_index_is_generation_0(folder):
    with Snapshot(folder) as snapshot:
        assert (snapshot.generation, snapshot.size, snapshot.segments, snapshot.postings) == (0, 0, (), None)


def test_chunks_come_back_with_their_exact_text_page_line_and_metadata(folder, put):
    committed = put({"a.txt": TEXT})
    assert committed.generation == 1
    with Snapshot(folder) as snapshot:
        rows = snapshot.live_rows()
        assert rows.tolist() == committed.added.tolist()
        for stored in snapshot.chunks(rows.tolist()):
            chunk = stored.chunk
            assert chunk.text == TEXT[chunk.start : chunk.end]
            assert stored.line == TEXT.count("\n", 0, chunk.start) + 1
            assert chunk.metadata == {"letters": len(TEXT)}
            np.testing.assert_array_equal(snapshot.vectors([stored.row])[0], vector(chunk.text))
        assert snapshot.chunks([999, int(rows[0])])[0].row == rows[0]


def test_pages_replace_lines(folder):
    document = Document("first page\fsecond page", "b.pdf", pages=(0, 11))
    batch = [Chunked(document, [Chunk.of(document, 0, 10), Chunk.of(document, 11, 22)])]
    with IndexWriter(folder) as writer:
        writer.add(batch, embed(batch))
        rows = writer.commit().added.tolist()
    with Snapshot(folder) as snapshot:
        assert [(stored.page, stored.line) for stored in snapshot.chunks(rows)] == [(1, None), (2, None)]


def test_text_between_chunks_is_the_documents_own(folder, put):
    rows = put({"a.txt": TEXT}).added.tolist()
    with Snapshot(folder) as snapshot:
        first, last = snapshot.chunks([rows[0], rows[-1]])
        assert snapshot.text_between(rows[0], rows[-1]) == TEXT[first.chunk.start : last.chunk.end]
        assert [stored.row for stored in snapshot.neighbours(rows[1], 1, 1)] == rows[:3]
        with pytest.raises(ContractError, match="not in this order"):
            snapshot.text_between(rows[-1], rows[0])


def test_text_between_overlapping_chunks(folder):
    document = Document("abcdefghij klmnop", "o.txt")
    batch = [Chunked(document, [Chunk.of(document, 0, 6), Chunk.of(document, 4, 10), Chunk.of(document, 11, 17)])]
    with IndexWriter(folder) as writer:
        writer.add(batch, embed(batch))
        rows = writer.commit().added.tolist()
    with Snapshot(folder) as snapshot:
        assert snapshot.text_between(rows[0], rows[2]) == document.text
        assert snapshot.text_between(rows[0], rows[1]) == "abcdefghij"


def test_without_commit_nothing_happened(folder, put):
    put({"a.txt": TEXT})
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    with IndexWriter(folder) as writer:
        writer.remove_source("a.txt")
        batch = [cut(Document("other words", "b.txt"))]
        writer.add(batch, embed(batch))
    with Snapshot(folder) as snapshot:
        assert snapshot.generation == 1
        assert {stored.source for stored in snapshot.chunks(snapshot.live_rows().tolist())} == {"a.txt"}
    kept = {path for path in before if "ledger.sqlite-" not in path.name}
    assert kept <= {path.relative_to(folder) for path in folder.rglob("*")}
    assert not list(folder.glob("segments/*.tmp"))


def test_a_commit_without_a_change_keeps_the_generation(folder, put):
    put({"a.txt": TEXT})
    with IndexWriter(folder) as writer:
        writer.put_source("a.txt", SourceState(1, 2, 3, "content", "reader"))
        assert writer.commit().generation == 1
    with IndexWriter(folder) as writer:
        assert writer.sources()["a.txt"] == SourceState(1, 2, 3, "content", "reader")


def test_a_reader_keeps_its_generation(folder, put):
    put({"a.txt": TEXT, "b.txt": "to be deleted"})
    with Snapshot(folder) as old:
        rows = old.live_rows().tolist()
        put({"a.txt": "new text", "b.txt": None})
        put({"c.txt": "more"})
        assert [stored.row for stored in old.chunks(rows)] == rows
        assert len(old.vectors(rows)) == len(rows)
        assert old.postings.search("deleted", 5)[0].tolist() == [rows[-1]]
        with Snapshot(folder) as new:
            assert new.generation == 3
            assert {stored.chunk.text for stored in new.chunks(new.live_rows().tolist())} == {"new text", "more"}


def test_a_reader_looks_again_when_a_commit_came_between(folder, put, monkeypatch):
    put({"a.txt": TEXT})
    from ragkit.index import snapshot as snapshot_module

    real, calls = snapshot_module.open_segment, []

    def slow(path, checksum):
        if not calls:
            calls.append(1)
            put({"a.txt": "changed", "z.txt": "z " * 99})
            put({"a.txt": "changed again"})
        return real(path, checksum)

    monkeypatch.setattr(snapshot_module, "open_segment", slow)
    with Snapshot(folder) as snapshot:
        assert snapshot.generation == 3


def test_files_of_past_generations_go_away(folder, put):
    for turn in range(20):
        put({"a.txt": f"text number {turn}", f"{turn}.txt": "kept"})
    assert len(list(folder.glob("segments/*"))) <= MERGE_ABOVE
    assert len(list(folder.glob("postings/*"))) == 1
    with Snapshot(folder) as snapshot:
        assert snapshot.size == 21
        assert len(snapshot.vectors(snapshot.live_rows().tolist())) == 21


def test_a_new_header_comes_with_clear(folder, put):
    put({"a.txt": TEXT})
    with IndexWriter(folder) as writer:
        writer.clear()
        document = Document("wide", "w.txt")
        writer.header = header().__class__("test", header().config, "other", "chunker", DIMENSION * 2)
        writer.add([Chunked(document, [Chunk.of(document, 0, 4)])], np.ones((1, DIMENSION * 2), np.float32))
        writer.commit()
    with Snapshot(folder) as snapshot:
        assert snapshot.size == 1
        assert snapshot.vectors(snapshot.live_rows().tolist()).shape == (1, DIMENSION * 2)
        assert snapshot.header.embedder_fingerprint == "other"


@pytest.mark.parametrize("span", [(0, 3, "abX"), (3, 3, ""), (-1, 2, "ab")])
def test_a_broken_span_is_refused(folder, span):
    document = Document("abcdef", "a.txt")
    with IndexWriter(folder) as writer, pytest.raises(ContractError, match=r"a\.txt"):
        writer.add([Chunked(document, [Chunk(document.doc_id, *span)])], np.ones((1, DIMENSION), np.float32))


def test_chunks_out_of_order_are_refused(folder):
    document = Document("abcdef", "a.txt")
    chunks = [Chunk.of(document, 3, 6), Chunk.of(document, 0, 3)]
    with IndexWriter(folder) as writer, pytest.raises(ContractError, match="span contract"):
        writer.add([Chunked(document, chunks)], np.ones((2, DIMENSION), np.float32))


def test_vectors_of_another_shape_are_refused(folder):
    batch = [cut(Document(TEXT, "a.txt"))]
    with IndexWriter(folder) as writer, pytest.raises(ContractError, match="shape"):
        writer.add(batch, embed(batch)[:, :-1])


def test_a_second_writer_is_refused_by_name(folder):
    code = (
        "import sys, time, pathlib; from ragkit.index.lock import writer_lock\n"
        "with writer_lock(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(IndexLockedError, match=f"process {holder.pid} on "), writer_lock(folder):
            pass
        holder.kill()
    deadline = time.monotonic() + 10
    while True:  # the system releases the lock of a killed holder
        try:
            with writer_lock(folder):
                return
        except IndexLockedError:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("table", ["chunks", "documents"])
def test_a_changed_ledger_row_is_never_served(folder, put, table):
    rows = put({"a.txt": TEXT}).added.tolist()
    column = {"chunks": "text", "documents": "metadata"}[table]
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        connection.execute(f"UPDATE {table} SET {column} = replace({column}, 't', 'x')")
    with Snapshot(folder) as snapshot, pytest.raises(CorruptIndexError, match=table):
        snapshot.chunks(rows)


def test_another_format_version_is_refused(folder):
    from ragkit.index.ledger import put_rows

    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        changed = header().to_json().replace('"format_version": 1', '"format_version": 7')
        put_rows(connection, "meta", [("header", changed)])
    with pytest.raises(IndexMismatchError, match="version 7"):
        Snapshot(folder)


def test_a_full_disk_is_one_clear_error_and_loses_nothing(folder, put):
    put({"a.txt": TEXT})
    code = (
        "import resource, signal, sys, pathlib; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from tests.index.small import cut, embed\n"
        "from ragkit.errors import StorageError\n"
        "from ragkit.index.writer import IndexWriter; from ragkit.schema import Document\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "try:\n"
        "    with IndexWriter(pathlib.Path(sys.argv[1])) as writer:\n"
        "        for turn in range(400):\n"
        "            batch = [cut(Document(f'{turn} ' + 'long text ' * 1000, f'{turn}.txt'))]\n"
        "            writer.add(batch, embed(batch))\n"
        "        writer.commit()\n"
        "except StorageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert "no space left" in done.stdout
    with Snapshot(folder) as snapshot:
        assert (snapshot.generation, snapshot.size) == (1, len(cut(Document(TEXT, "a.txt")).chunks))
