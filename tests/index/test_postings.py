"""Lexical postings: BM25 by the book, generations that equal a fresh build, damage that is never served."""

from __future__ import annotations

import hashlib
import json
import math
import random
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import ConfigError, CorruptIndexError, StorageError
from ragkit.index import postings as module
from ragkit.index.analysis import LANGUAGES, analyzable, analyzer
from ragkit.index.postings import Postings, verify_postings, write_postings

WORDS = [
    "river",
    "rivers",
    "bank",
    "loan",
    "money",
    "water",
    "fish",
    "boat",
    "the",
    "of",
    "a",
    "commander",
    "quantum",
    "搜索",
    "引擎",
    "café",
]


def corpus(count: int, seed: int = 0) -> dict[int, str]:
    source = random.Random(seed)
    return {row: " ".join(source.choices(WORDS, k=source.randint(1, 30))) for row in range(count)}


def written(folder: Path, texts: dict[int, str], language: str = "english") -> Postings:
    write_postings(folder, None, [], [], texts.items, language)
    return Postings.open(folder)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if "lock" not in path.name
    }


def bm25(texts: dict[int, str], query: str) -> dict[int, float]:
    """Robertson and Zaragoza (2009), equation 3.15, with Lucene's idf; exact for fields of up to 40 terms."""
    chain = analyzer("english")
    documents = {row: Counter(chain.analyze(analyzable(text))) for row, text in texts.items()}
    average = sum(map(Counter.total, documents.values())) / len(documents)
    scores: dict[int, float] = {}
    for term, weight in Counter(chain.analyze(analyzable(query))).items():
        having = [row for row, counts in documents.items() if term in counts]
        idf = math.log(1 + (len(documents) - len(having) + 0.5) / (len(having) + 0.5))
        for row in having:
            count = documents[row][term]
            norm = 1.2 * (1 - 0.75 + 0.75 * documents[row].total() / average)
            scores[row] = scores.get(row, 0.0) + weight * idf * count * 2.2 / (count + norm)
    return scores


def test_scores_are_bm25(tmp_path):
    texts = corpus(300)
    postings = written(tmp_path / "1", texts)
    for query in ("river bank", "the quantum commander", "fish fish water", "搜索引擎", "cafés", "unknown"):
        rows, scores = postings.search(query, 1000)
        expected = bm25(texts, query)
        assert dict(zip(rows.tolist(), scores.tolist(), strict=True)) == pytest.approx(expected, rel=1e-5)
        assert np.all(np.diff(scores) <= 0)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Postings:
    return written(tmp_path_factory.mktemp("shelf") / "1", corpus(400))


@given(st.text(max_size=60), st.integers(0, 50))
def test_any_text_is_a_query(shelf, query, limit):
    rows, scores = shelf.search(query, limit)
    assert len(rows) == len(scores)
    assert len(set(rows.tolist())) == len(rows)


@pytest.mark.parametrize("query", ["", "\0", "\ud800 river", "text:river AND (", "[a TO b]", "🚣", "river " * 10_000])
def test_odd_queries(shelf, query):
    assert len(shelf.search(query, 3)[0]) >= (3 if "river" in query else 0)


@given(
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
    limit=st.integers(1, 40),
    chosen=st.none() | st.sets(st.integers(0, 450), max_size=200) | st.integers(0, 300).map(lambda n: set(range(n))),
)
def test_limit_and_filter_only_ever_cut_the_full_ranking(shelf, query, limit, chosen):
    rows = None if chosen is None else np.array(sorted(chosen), np.int64)
    full, scores = shelf.search(query, 10_000)
    allowed = [
        (row, score)
        for row, score in zip(full.tolist(), scores.tolist(), strict=True)
        if chosen is None or row in chosen
    ]
    expected = {row: score for row, score in allowed if len(allowed) <= limit or score >= allowed[limit - 1][1]}
    found, found_scores = shelf.search(query, limit, rows)
    assert dict(zip(found.tolist(), found_scores.tolist(), strict=True)) == expected


def test_both_ways_to_filter_agree(tmp_path, monkeypatch):
    postings = written(tmp_path / "1", corpus(2000))
    rows = np.arange(0, 2000, 3)
    results = []
    for cost in (0.0, 1.0):
        monkeypatch.setattr(module, "_SECONDS_PER_FILTER_ROW", cost)
        found, scores = postings.search("river bank of money", 25, rows)
        results.append(dict(zip(found.tolist(), scores.tolist(), strict=True)))
    assert results[0] == results[1]


def test_ties_at_the_cut_off_are_complete(tmp_path):
    texts = dict.fromkeys(range(500), "same words here") | dict.fromkeys(range(500, 600), "other words")
    rows, scores = written(tmp_path / "1", texts).search("same", 10)
    assert sorted(rows) == list(range(500))
    assert len(set(scores.tolist())) == 1


@settings(max_examples=max(15, settings().max_examples // 10))  # every example flushes to the disk many times
@given(st.data())
def test_after_any_changes_scores_equal_those_of_a_fresh_index(tmp_path_factory, data):
    base = tmp_path_factory.mktemp("generations")
    texts, next_row, previous = {}, 0, None
    for generation in range(data.draw(st.integers(1, 4))):
        removed = data.draw(st.sets(st.sampled_from(sorted(texts)), max_size=3)) if texts else set()
        added = corpus(data.draw(st.integers(0, 12)), seed=generation)
        added = {next_row + row: text for row, text in added.items()}
        next_row += len(added)
        texts = {row: text for row, text in texts.items() if row not in removed} | added
        target = base / str(generation)
        write_postings(target, previous, added.items(), removed, lambda now=dict(texts): now.items())
        previous = target
    fresh, changed = written(base / "fresh", texts), Postings.open(previous)
    assert verify_postings(previous, sorted(texts)) == []
    for query in ("river bank", "the the fish", "commander quantum of water"):
        a, b = fresh.search(query, 100), changed.search(query, 100)
        assert dict(zip(*map(np.ndarray.tolist, a), strict=True)) == dict(zip(*map(np.ndarray.tolist, b), strict=True))


def test_appending_leaves_the_previous_generation_as_it_was_and_few_segments(tmp_path):
    texts = corpus(50)
    write_postings(tmp_path / "0", None, [], [], texts.items)
    before = contents(tmp_path / "0")
    reader = Postings.open(tmp_path / "0")
    for generation in range(1, 30):
        row = 100 + generation
        texts[row] = f"river number {generation}"
        write_postings(tmp_path / str(generation), tmp_path / str(generation - 1), [(row, texts[row])], [], dict)
    assert contents(tmp_path / "0") == before
    assert len(reader.search("river", 1000)[0]) == len(bm25(corpus(50), "river"))
    newest = Postings.open(tmp_path / "29")
    assert newest._searcher.num_segments <= 10
    assert newest.rows().tolist() == sorted(texts)
    rows, scores = newest.search("river", 1000)
    assert dict(zip(rows.tolist(), scores.tolist(), strict=True)) == pytest.approx(bm25(texts, "river"), rel=1e-5)


def test_a_clone_works_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "no links here")

    monkeypatch.setattr(module.os, "link", refuse)
    write_postings(tmp_path / "0", None, [], [], corpus(20).items)
    write_postings(tmp_path / "1", tmp_path / "0", [(77, "a boat")], [], dict)
    assert verify_postings(tmp_path / "1", [*range(20), 77]) == []


def test_nothing_half_written_is_left(tmp_path):
    def fails():
        yield 1, "text"
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_postings(tmp_path / "0", None, [], [], fails)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "0.tmp").mkdir()
    (tmp_path / "0.tmp" / "meta.json").write_text("left by a killed run")
    (tmp_path / "0").mkdir()
    write_postings(tmp_path / "0", None, [], [], corpus(3).items)
    assert verify_postings(tmp_path / "0", range(3)) == []


def test_an_unwritable_folder_is_a_storage_error(tmp_path, monkeypatch):
    def full(*_, **__):
        raise ValueError("No space left on device")

    monkeypatch.setattr(module, "_append", full)
    with pytest.raises(StorageError, match="No space left"):
        write_postings(tmp_path / "0", None, [], [], dict)


def test_an_empty_index_finds_nothing(tmp_path):
    postings = written(tmp_path / "0", {})
    assert postings.documents == 0
    assert len(postings.search("river", 5)[0]) == 0
    assert verify_postings(tmp_path / "0", []) == []
    write_postings(tmp_path / "1", tmp_path / "0", [(5, "river")], [], dict)
    assert Postings.open(tmp_path / "1").search("river", 5)[0].tolist() == [5]


def test_damage_is_never_served(tmp_path):
    write_postings(tmp_path / "0", None, [], [], corpus(40).items)
    for path in sorted((tmp_path / "0").iterdir()):
        original = path.read_bytes()
        for damaged in (
            original[:-1],
            original[: len(original) // 2]
            + bytes([original[len(original) // 2] ^ 1])
            + original[len(original) // 2 + 1 :],
        ):
            path.write_bytes(damaged)
            with pytest.raises(CorruptIndexError, match=path.name.replace(".", r"\.")) as caught:
                Postings.open(tmp_path / "0")
            assert "ragkit repair" in caught.value.hint
            assert len(verify_postings(tmp_path / "0", range(40))) == 1
        path.unlink()
        with pytest.raises(CorruptIndexError):
            Postings.open(tmp_path / "0")
        path.write_bytes(original)
    assert verify_postings(tmp_path / "0", range(40)) == []


def test_a_manifest_cannot_point_outside(tmp_path):
    from ragkit.index.manifest import read_manifest, write_manifest

    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "0"
    folder.mkdir()
    for name in ("../secret", "..", "a/b", ""):
        write_manifest(folder)
        content = json.loads((folder / "manifest.json").read_text())
        content.pop("checksum")
        content["files"] = {name: {"bytes": 1, "xxh3_128": "0"}}
        from ragkit.identity import content_hash

        (folder / "manifest.json").write_text(json.dumps({**content, "checksum": content_hash("manifest", **content)}))
        with pytest.raises(CorruptIndexError):
            read_manifest(folder)
    (folder / "manifest.json").unlink()
    (folder / "link").symlink_to(tmp_path / "secret")
    write_manifest(folder)
    with pytest.raises(CorruptIndexError, match="plain file"):
        read_manifest(folder)


def test_verify_names_rows_that_differ(tmp_path):
    write_postings(tmp_path / "0", None, [], [], corpus(10).items)
    assert "lacks 2 chunks, the first being row 10" in verify_postings(tmp_path / "0", range(12))[0]
    assert "should not hold 1 chunks, the first being row 9" in verify_postings(tmp_path / "0", range(9))[0]
    write_postings(tmp_path / "1", tmp_path / "0", [(3, "again")], [], dict)
    assert "holds 11 chunks where 10" in verify_postings(tmp_path / "1", range(10))[0]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The Rivers, running", ["the", "river", "run"]),
        ("Cafés cafe\u0301 ＣＡＦＥ", ["cafe"] * 3),
        ("搜索引擎 x", ["搜索", "索引", "引擎", "x"]),
        ("中", ["中"]),
        ("日本語のテスト", ["日本", "本語", "語の", "のテ", "テス", "スト"]),
        ("한국어", ["한국", "국어"]),
        ("snake_case v1.2 日x", ["snake", "case", "v1", "2", "日", "x"]),
        ("a" * 300, []),
    ],
)
def test_analysis(text, terms):
    assert analyzer("english").analyze(analyzable(text)) == terms


def test_languages():
    for language in LANGUAGES:
        assert analyzer(language).analyze("42") == ["42"]
    assert analyzer("none").analyze("rivers") == ["rivers"]
    assert analyzer("german").analyze("Häuser") == analyzer("german").analyze("hauses")
    with pytest.raises(ConfigError, match="no language 'englisch'") as caught:
        analyzer("englisch")
    assert "Did you mean 'english'?" in caught.value.hint


@given(st.text(max_size=40))
def test_analysis_of_any_text(text):
    terms = analyzer("english").analyze(analyzable(text))
    assert analyzer("english").analyze(analyzable(unicodedata.normalize("NFD", text))) == terms


def test_threads_may_share_postings(shelf):
    queries = [f"{one} {two}" for one in WORDS for two in WORDS]
    alone = [shelf.search(query, 5)[0].tolist() for query in queries]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda query: shelf.search(query, 5)[0].tolist(), queries))
    assert together == alone
