"""verify finds every kind of damage and repair mends it."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from ragkit.errors import MissingIndexError
from ragkit.index.repair import repair_index
from ragkit.index.snapshot import Snapshot
from ragkit.index.verify import verify
from ragkit.index.writer import IndexWriter
from tests.index.small import embed

TEXTS = {f"{name}.txt": f"the {name} of the matter is written here in some words" for name in ("heart", "end", "root")}


def repaired(folder):
    with IndexWriter(folder) as writer:
        done, sources = repair_index(writer, embed)
        writer.commit()
    return done, sources


def damage_segment(folder):
    path = next(folder.glob("segments/*.vec"))
    content = bytearray(path.read_bytes())
    content[4100] ^= 4
    path.write_bytes(content)


def truncate_segment(folder):
    path = next(folder.glob("segments/*.vec"))
    path.write_bytes(path.read_bytes()[:-8])


def lose_segment(folder):
    next(folder.glob("segments/*.vec")).unlink()


def damage_postings(folder):
    path = max(folder.glob("postings/*/*"), key=lambda found: found.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_postings(folder):
    import shutil

    shutil.rmtree(next(folder.glob("postings/*")))


def execute(statement):
    def damage(folder):
        with sqlite3.connect(folder / "ledger.sqlite") as connection:
            connection.execute(statement)

    return damage


PROJECTIONS = [damage_segment, truncate_segment, lose_segment, damage_postings, lose_postings]
MENDED_IN_PLACE = [*PROJECTIONS, execute("DELETE FROM dead"), execute("UPDATE dead SET row = row + 1000")]
READ_AGAIN = [
    execute("UPDATE chunks SET text = 'forged' WHERE row = (SELECT max(row) FROM chunks)"),
    execute("UPDATE chunks SET lead = 'x' WHERE ordinal = 1"),
    execute("DELETE FROM chunks WHERE row = (SELECT max(row) FROM chunks)"),
    execute("UPDATE documents SET tail = 'more'"),
    execute("UPDATE documents SET metadata = '{}'"),
]


@pytest.fixture
def whole(folder, put):
    put(TEXTS)
    put({"end.txt": "the end is written anew"})
    assert verify(folder).ok
    return folder


def test_no_index(tmp_path):
    with pytest.raises(MissingIndexError):
        verify(tmp_path)


def test_a_whole_index_has_no_problem(whole):
    report = verify(whole)
    assert (report.ok, report.generation, report.documents) == (True, 2, 3)
    assert repaired(whole) == ([], [])
    assert verify(whole).generation == 2


@pytest.mark.parametrize("damage", MENDED_IN_PLACE)
def test_projections_are_rebuilt_from_the_ledger(whole, damage):
    with Snapshot(whole) as snapshot:
        rows = snapshot.live_rows().tolist()
        texts = [stored.chunk.text for stored in snapshot.chunks(rows)]
        vectors = snapshot.vectors(rows).copy()
        scores = snapshot.postings.search("written matter", 10)[1].tolist()
    damage(whole)
    assert not verify(whole).ok
    done, sources = repaired(whole)
    assert done
    assert sources == []
    assert verify(whole).problems == ()
    with Snapshot(whole) as snapshot:
        assert [stored.chunk.text for stored in snapshot.chunks(rows)] == texts
        np.testing.assert_allclose(snapshot.vectors(rows), vectors)
        assert snapshot.postings.search("written matter", 10)[1].tolist() == scores


@pytest.mark.parametrize("damage", READ_AGAIN)
def test_damaged_documents_are_given_up_and_named(whole, damage):
    damage(whole)
    assert not verify(whole).ok
    done, sources = repaired(whole)
    assert done
    assert set(sources) <= set(TEXTS)
    assert sources
    assert verify(whole).problems == ()


def test_a_damaged_source_row_is_read_again(folder, put):
    from ragkit.index.writer import SourceState

    put(TEXTS)
    with IndexWriter(folder) as writer:
        writer.put_source("end.txt", SourceState(1, 2, 3, "c", "r"))
        writer.commit()
    execute("UPDATE sources SET size = 9")(folder)
    assert not verify(folder).ok
    assert repaired(folder)[1] == ["end.txt"]
    assert verify(folder).ok


def test_a_file_that_is_no_database(folder):
    (folder / "ledger.sqlite").write_bytes(b"not a database at all" * 400)
    for leftover in folder.glob("ledger.sqlite-*"):
        leftover.unlink()
    report = verify(folder)
    assert not report.ok
    assert report.problems[0].part == "ledger"
