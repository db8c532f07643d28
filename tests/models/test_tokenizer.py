"""HfTokenizer gives exactly the tokens of the bare tokenizer, whatever shortcut it takes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from ragkit.errors import ModelError
from ragkit.models import tokenizer as module
from ragkit.models import word_table
from ragkit.models.tokenizer import HfTokenizer
from ragkit.protocols import Tokenizer as TokenizerProtocol

CORPUS = ["The lazy dog sat; it didn't jump over 3.14 foxes.", "naïve façades 機器學習 ünïcödé E\u0301TUDE"] * 20
PIECES = [
    *("the", "Dog", " ", "  ", "\n", "\r\n", "\t", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2028", "\u3000"),
    *("\u200b", "\u200d", "\ufffd", "\ufeff", "e\u0301", "\u0301", "\u0345", "İ", "ß", "Σ", "ﷺ", "ﬁ", "한국어", "ไทย"),
    *("中", "文", "㐀", "𠀀", "豈", "。", "，", "👩\u200d👧", "🇩🇪", ",", ".", "-", "'", "[MASK]", "[MA", "x" * 101),
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=6)), max_size=25
).map("".join)


@cache
def wordpiece(**options: bool) -> str:
    bare = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    bare.normalizer = normalizers.BertNormalizer(**options)
    bare.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    bare.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special))
    bare.enable_truncation(5)
    bare.enable_padding(length=7)
    return str(bare.to_str())


@pytest.fixture
def definition() -> str:
    return wordpiece()


@pytest.fixture(params=["minilm", "cased", "accents"])
def any_definition(request: pytest.FixtureRequest) -> str:
    """Return MiniLM's file, or one of a tiny BERT that keeps case, or accents."""
    if request.param == "minilm":
        return str((request.getfixturevalue("minilm_folder") / "tokenizer.json").read_text(encoding="utf-8"))
    return wordpiece(lowercase=False) if request.param == "cased" else wordpiece(strip_accents=False)


def bare_offsets(definition: str, texts: list[str]) -> list[list[tuple[int, int]]]:
    bare = Tokenizer.from_str(definition)
    bare.no_truncation()
    bare.no_padding()
    return [encoding.offsets for encoding in bare.encode_batch(texts, add_special_tokens=False)]


def as_pairs(arrays: list[np.ndarray]) -> list[list[tuple[int, int]]]:
    assert all(array.dtype == np.int64 and array.shape == (len(array), 2) for array in arrays)
    return [[(int(start), int(end)) for start, end in array] for array in arrays]


@settings(suppress_health_check=list(HealthCheck), max_examples=settings().max_examples * 2)
@given(texts=st.lists(TEXTS, max_size=4))
def test_equal_to_the_bare_tokenizer(any_definition: str, texts: list[str]) -> None:
    ours = loaded(any_definition)
    expected = bare_offsets_cached(any_definition, texts)
    assert ours.word_bounded
    assert as_pairs(ours.offsets(texts)) == expected
    assert ours.count(texts) == [len(spans) for spans in expected]


@settings(suppress_health_check=list(HealthCheck))
@given(text=TEXTS, data=st.data())
def test_cuts_that_keep_tokens_do(any_definition: str, text: str, data: st.DataObject) -> None:
    ours = loaded(any_definition)
    whole = len(bare_offsets_cached(any_definition, [text])[0])
    kept = [position for position in range(len(text) + 1) if ours.keeps_tokens(text, position)]
    position = data.draw(st.sampled_from(kept))
    left, right = bare_offsets_cached(any_definition, [text[:position], text[position:]])
    assert len(left) + len(right) == whole


@cache
def loaded(definition: str) -> HfTokenizer:
    return HfTokenizer(definition)


@cache
def _bare(definition: str) -> Any:
    bare = Tokenizer.from_str(definition)
    bare.no_truncation()
    bare.no_padding()
    return bare


def bare_offsets_cached(definition: str, texts: list[str]) -> list[list[tuple[int, int]]]:
    return [encoding.offsets for encoding in _bare(definition).encode_batch(texts, add_special_tokens=False)]


@pytest.mark.parametrize("data_set", ["chunking_eval", "cmrc2018_a", "tatqa_dev"])
def test_equal_on_real_text(
    data_set: str, records: Callable[[str, str], Iterator[dict[str, Any]]], minilm_folder: Path
) -> None:
    texts = [record["text"] for record in records(data_set, "corpus")]
    definition = (minilm_folder / "tokenizer.json").read_text(encoding="utf-8")
    found = HfTokenizer.from_folder(minilm_folder).offsets(texts)
    for ours, bare in zip(found, bare_offsets(definition, texts), strict=True):
        assert np.array_equal(ours, np.array(bare))


def test_long_texts_are_divided_exactly(definition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 64)
    texts = ["The lazy dog\nsat " * 40, "x" * 500 + " dog", "", "中文" * 100 + "\n" + "dog " * 9, "short", " " * 300]
    expected = bare_offsets(definition, texts)
    ours = HfTokenizer(definition)
    assert as_pairs(ours.offsets(texts)) == expected
    assert ours.count(texts) == [len(spans) for spans in expected]


def test_a_full_table_starts_afresh(definition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_table, "CAPACITY", 10)
    ours = HfTokenizer(definition)
    for round_ in range(5):
        texts = [f"dog {round_} " + " ".join(f"fox{round_}{number}" for number in range(8))]
        assert as_pairs(ours.offsets(texts)) == bare_offsets(definition, texts)
    assert len(ours._table._ids) < 30


def test_nothing_is_truncated_padded_or_added(definition: str) -> None:
    """The file asks for 5 tokens at most and 7 at least."""
    one, fifty = HfTokenizer(definition).count(["dog", "dog " * 50])
    assert 1 <= one <= 3
    assert fifty == 50 * one


def test_no_texts(definition: str) -> None:
    assert HfTokenizer(definition).offsets([]) == []
    assert HfTokenizer(definition).count([]) == []


def test_fingerprint_is_the_content(definition: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(definition, encoding="utf-8")
    one = HfTokenizer.from_folder(tmp_path)
    assert one.fingerprint == HfTokenizer(definition).fingerprint
    assert one.fingerprint != HfTokenizer(wordpiece(lowercase=False)).fingerprint
    assert isinstance(one, TokenizerProtocol)


def test_travels_to_other_processes(definition: str) -> None:
    ours = HfTokenizer(definition)
    again = pickle.loads(pickle.dumps(ours))
    assert again.fingerprint == ours.fingerprint
    assert again.count(["lazy dog"]) == ours.count(["lazy dog"])


def test_threads_may_share_one(definition: str) -> None:
    ours = HfTokenizer(definition)
    texts = [[f"dog{number} lazy{number % 7} fox " * 30] for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ours.count, texts))
    assert found == [HfTokenizer(definition).count(text) for text in texts]


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": None},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}},
        {"normalizer": {"type": "Lowercase"}},
        {"truncation": None, "added_tokens": "lstrip"},
    ],
)
def test_other_rules_take_no_shortcut_and_are_exact(definition: str, change: dict[str, Any]) -> None:
    content = json.loads(definition)
    if change.get("added_tokens") == "lstrip":
        for token in content["added_tokens"]:
            token["lstrip"] = True
    else:
        content.update(change)
    changed = json.dumps(content)
    ours = HfTokenizer(changed)
    texts = ["lazy [MASK] dog  sat", "a\x0cb [MASK]", ""]
    assert not ours.word_bounded
    assert not ours.keeps_tokens("lazy dog", 4)
    assert as_pairs(ours.offsets(texts)) == bare_offsets(changed, texts)
    assert ours.count(texts) == [len(spans) for spans in bare_offsets(changed, texts)]


def test_a_missing_file_and_a_wrong_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json: No such file.*expected the tokenizer of a model"):
        HfTokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="Not a tokenizer definition"):
        HfTokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="is not UTF-8 text"):
        HfTokenizer.from_folder(tmp_path)
