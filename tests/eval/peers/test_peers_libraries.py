"""The real libraries behind ragkit's protocol, counting MiniLM's tokens."""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError, MissingExtraError, UnknownPartError
from ragkit.eval.peers import PEERS, peer
from ragkit.eval.peers.bare import bare_tokenizer
from ragkit.eval.peers.chunker import PeerChunker
from ragkit.eval.peers.mapping import Piece
from ragkit.eval.peers.verbatim import VerbatimTokenizer
from ragkit.models.tokenizer import HfTokenizer
from ragkit.models.words import WordTokenizer
from ragkit.protocols import Chunker
from ragkit.schema import Document
from ragkit.testing.chunker import check_chunker

VERBATIM = ["chonkie_sentence", "langchain_recursive", "semchunk"]
"""Those that return text as it stands, on every sample of the conformance kit."""
TEXT = "Ducks quack, and they quack loudly. " * 40 + "\n\n" + "Geese honk, and swans do not honk. " * 40
SHORT = "Ducks quack loudly. " * 40


@pytest.fixture(scope="module")
def minilm(minilm_folder) -> HfTokenizer:
    return HfTokenizer.from_folder(minilm_folder)


@pytest.fixture
def installed():
    def check(name: str) -> str:
        package = PEERS[name].package
        if importlib.util.find_spec(package.replace("-", "_")) is None:
            pytest.skip(f"{package} is not installed; pip install 'ragkit[bench]'")
        return name

    return check


@pytest.fixture(scope="module")
def characters() -> HfTokenizer:
    """Return a tokenizer that restores its input: every byte is a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE({sign: number for number, sign in enumerate(alphabet)}, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    return HfTokenizer(bare.to_str())


@pytest.mark.parametrize("name", VERBATIM)
def test_the_conformance_kit_passes(installed, minilm, name):
    chunker = peer(installed(name), minilm, size=20)
    assert isinstance(chunker, Chunker)
    check_chunker(chunker)
    assert chunker.unmapped == 0
    assert chunker.pieces > 0


@pytest.mark.parametrize("name", ["chonkie_recursive", "langchain_recursive", "semchunk"])
def test_sizes_count_the_tokens_that_ragkit_counts(installed, minilm, name):
    chunker = peer(installed(name), minilm, size=50)
    (chunked,) = chunker.chunk([Document(TEXT, source="birds")])
    counts = minilm.count([chunk.text for chunk in chunked.chunks])
    assert chunker.unmapped == 0
    assert 30 <= max(counts) <= 50


@pytest.mark.parametrize("name", PEERS)
def test_every_chunk_is_a_slice_of_its_document(installed, minilm, name):
    chunker = peer(installed(name), minilm, size=30)
    for document, chunks in chunker.chunk(
        [Document(TEXT, source="birds"), Document("机器学习是什么？" * 30, source="zh")]
    ):
        assert all(chunk.text == document.text[chunk.start : chunk.end] for chunk in chunks)
    assert 0 <= chunker.unmapped <= chunker.pieces


@pytest.mark.parametrize("name", ["chonkie_token", "langchain_token"])
def test_token_windows_are_verbatim_though_the_tokenizer_loses_case(installed, minilm, name):
    chunker = peer(installed(name), minilm, size=30)
    (chunked,) = chunker.chunk([Document(TEXT, source="birds")])
    assert bare_tokenizer(minilm).decode(bare_tokenizer(minilm).encode("Ducks").ids) == "ducks"
    assert (chunker.unmapped, chunker.examples) == (0, [])
    counts = minilm.count([chunk.text for chunk in chunked.chunks])
    assert counts[:-1] == [30] * (len(counts) - 1)
    assert sum(counts) == minilm.count([TEXT])[0]


@pytest.mark.parametrize("name", [name for name in PEERS if name.startswith("chonkie")])
@pytest.mark.parametrize(
    "text", [SHORT, "机器学习是什么？" * 60, "Ab\u00adC é\u0301 ﬁx " * 80], ids=["short", "zh", "marks"]
)
def test_pieces_that_fall_back_to_tokens_are_verbatim_too(installed, minilm, name, text):
    chunker = peer(installed(name), minilm, size=50)
    (chunked,) = chunker.chunk([Document(text, source="x")])
    assert chunker.unmapped == 0
    assert "".join("".join(chunk.text for chunk in chunked.chunks).split()) == "".join(text.split())


def test_pieces_that_are_no_text_of_the_document_are_counted(minilm):
    def lowered(text: str) -> list[Piece]:
        return [Piece(part.lower()) for part in text.split("\n\n")]

    chunker = PeerChunker("lowered", "numpy", lowered, minilm)
    (chunked,) = chunker.chunk([Document(TEXT, source="birds")])
    assert chunker.unmapped == chunker.pieces == 2
    assert list(chunked.chunks) == []
    assert chunker.examples[0].startswith("ducks quack, and")


@given(st.text(max_size=40))
def test_the_verbatim_tokenizer_gives_back_what_it_read(characters, text):
    for tokenizer in (characters, WordTokenizer()):
        verbatim = VerbatimTokenizer(tokenizer)
        ids = verbatim.encode(text)
        assert len(ids) == verbatim.count_tokens(text) == tokenizer.count([text])[0]
        assert verbatim.decode(ids) == (text if ids else "")
        assert verbatim.decode_batch(verbatim.encode_batch([text, text])) == [verbatim.decode(ids)] * 2


@pytest.mark.parametrize("name", ["chonkie_token", "langchain_token"])
@pytest.mark.parametrize("overlap", [0, 8])
def test_decoded_pieces_are_mapped_where_it_restores_text(installed, characters, name, overlap):
    text = " ".join(f"Sentence {number} says something else." for number in range(60))
    chunker = peer(installed(name), characters, size=32, overlap=overlap)
    (chunked,) = chunker.chunk([Document(text, source="birds")])
    assert chunker.unmapped == 0
    starts = list(range(0, len(text) - overlap, 32 - overlap))
    assert [(chunk.start, chunk.end) for chunk in chunked.chunks] == [
        (start, min(start + 32, len(text))) for start in starts
    ]


def test_overlapping_pieces_overlap(installed, minilm):
    text = " ".join(f"Sentence {number} says something else." for number in range(60))
    (chunked,) = peer(installed("langchain_recursive"), minilm, size=40, overlap=10).chunk([Document(text, source="x")])
    chunks = chunked.chunks
    assert all(after.start < before.end for before, after in pairwise(chunks))
    shared = [text[after.start : before.end] for before, after in pairwise(chunks)]
    assert max(minilm.count(shared)) <= 10


def test_fingerprints_depend_on_everything_that_changes_the_result(installed, minilm, characters):
    for name in ("chonkie_sentence", "semchunk"):
        installed(name)
    made = [
        peer("semchunk", minilm, 100),
        peer("semchunk", minilm, 200),
        peer("semchunk", minilm, 200, 20),
        peer("semchunk", characters, 200),
        peer("chonkie_sentence", minilm, 200),
    ]
    assert len({chunker.fingerprint for chunker in made}) == len(made)
    assert peer("semchunk", minilm, 200).fingerprint == made[1].fingerprint


def test_the_bare_tokenizer_counts_alike(minilm):
    assert len(bare_tokenizer(minilm).encode(TEXT, add_special_tokens=False)) == minilm.count([TEXT])[0] > 512


def test_wrong_use_is_said(installed, characters):
    with pytest.raises(UnknownPartError, match="Did you mean 'semchunk'"):
        peer("semchunck", characters)
    with pytest.raises(ConfigError, match="expected 0 <= overlap < size"):
        peer("semchunk", characters, 10, 10)
    with pytest.raises(ConfigError, match="has no overlap"):
        peer(installed("chonkie_recursive"), characters, 10, 5)


@pytest.mark.parametrize("name", PEERS)
def test_without_the_package_the_extra_is_named(characters, monkeypatch, name):
    monkeypatch.setitem(sys.modules, PEERS[name].package.replace("-", "_"), None)
    with pytest.raises(MissingExtraError, match=r"ragkit\[bench\]"):
        peer(name, characters)


def test_importing_the_adapters_imports_no_library():
    import subprocess

    code = (
        "import sys, ragkit.eval.peers; print({'chonkie', 'langchain_text_splitters', 'semchunk'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
