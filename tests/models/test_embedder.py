"""The sentence-transformers embedder, against the library's own encode."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ModelError, RagkitWarning
from ragkit.models.embedder import SentenceTransformerEmbedder
from ragkit.models.profile import folder_fingerprint, read_profile
from ragkit.protocols import Embedder
from ragkit.schema import Chunk, Chunked, Document
from ragkit.testing.embedder import check_embedder

TEXTS = [
    "A cat sat on the mat.",
    "x",
    "Das Wetter ist schön. " * 12,
    "Vectors of unit length, sorted by tokens.\r\nNew line.",
    "naïve café 中文 e\u0301",
    " ",
    "SQL ledger",
]


@pytest.fixture(scope="module")
def embedder(minilm_folder):
    return SentenceTransformerEmbedder()


@pytest.mark.models
def test_the_contract(embedder):
    assert isinstance(embedder, Embedder)
    check_embedder(embedder, TEXTS)


@pytest.mark.models
def test_equal_to_the_library(embedder, minilm_folder):
    from sentence_transformers import SentenceTransformer

    bare = SentenceTransformer(str(minilm_folder), device="cpu", local_files_only=True)
    texts = [*TEXTS, "long " * 300]
    bare.max_seq_length = 512
    expected = bare.encode(texts, normalize_embeddings=True)
    assert np.sum(embedder.embed_queries(texts) * expected, axis=1).min() > 0.9999


@pytest.mark.models
def test_the_index_text_is_embedded_not_the_text(embedder):
    document = Document("short text", "s")
    chunk = Chunk(document.doc_id, 0, 5, "short", index_text="a question about cats")
    steps = []
    (vector,) = embedder.embed_chunks([Chunked(document, [chunk])], lambda *step: steps.append(step))
    assert vector @ embedder.embed_queries(["a question about cats"])[0] > 0.9999
    assert steps == [("embed", 1, 1)]


@pytest.mark.models
def test_texts_beyond_the_window_are_counted_and_said_once(minilm_folder):
    embedder = SentenceTransformerEmbedder(window=20)
    assert embedder.window == 20
    with pytest.warns(RagkitWarning, match="2 of 3 texts are longer than the 20 tokens"):
        vectors = embedder.embed_queries(["word " * 21, "word " * 500, "word " * 20])
    assert vectors[0] @ vectors[1] > 0.9999
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder.embed_queries(["word " * 30])
    assert embedder.cut_texts == 3


@pytest.mark.models
def test_the_window_is_what_the_positions_allow(embedder):
    assert embedder.window == 510
    assert SentenceTransformerEmbedder(window=100).fingerprint != embedder.fingerprint
    with pytest.raises(ModelError, match="cannot be 511 tokens: the model has positions for 510"):
        _ = SentenceTransformerEmbedder(window=511).window


@pytest.mark.models
def test_what_the_files_tell_needs_no_torch(embedder):
    script = (
        "import sys; from ragkit.models.embedder import SentenceTransformerEmbedder as E; e = E();"
        "print(e.dimension, e.window, e.fingerprint, e.tokenizer.count(['a b'])[0], 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert out == ["384", "510", embedder.fingerprint, "2", "False"]


@pytest.mark.models
def test_a_folder_works_like_the_name(embedder, minilm_folder):
    folder = SentenceTransformerEmbedder(str(minilm_folder))
    assert folder.dimension == 384
    assert folder.window == 254  # the authors' limit: only the known model's is raised
    assert folder.fingerprint != embedder.fingerprint
    assert np.allclose(folder.embed_queries(TEXTS[:2]), embedder.embed_queries(TEXTS[:2]), atol=1e-5)


def test_a_folder_without_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 8, "model_type": "bert"}))
    embedder = SentenceTransformerEmbedder(str(tmp_path))
    assert embedder.dimension == 8
    with pytest.raises(ModelError, match="cannot be loaded"):
        embedder.embed_queries(["a"])


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 4000))
def test_batches_hold_every_text_once_within_the_budget(lengths, budget):
    from ragkit.models.encoder import batches

    found = [list(batch) for batch in batches(np.array(lengths, dtype=np.int64), budget)]
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= budget


def test_profile_of_other_layouts(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"hidden_size": 768, "model_type": "xlm-roberta", "max_position_embeddings": 514})
    )
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    for name, options in {
        "1_Pooling": {"embedding_dimension": 768, "pooling_mode": "cls"},
        "2_Dense": {"in_features": 768, "out_features": 256},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(options))
    profile = read_profile(tmp_path)
    assert (profile.dimension, profile.positions, profile.pooling) == (256, 512, "pooling_mode=cls")
    assert not profile.normalised
    assert profile.window(None, raise_to_positions=False) == 510


def test_the_fingerprint_of_a_folder_is_its_content(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"a")
    first = folder_fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("notes do not count")
    assert folder_fingerprint(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"b")
    assert folder_fingerprint(tmp_path) != first


def test_damaged_configuration(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as JSON"):
        read_profile(tmp_path)
    with pytest.raises(ModelError, match="missing"):
        read_profile(tmp_path / "nowhere")
