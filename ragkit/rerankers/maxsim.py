"""Late interaction: each token of the question finds its best token of the text (ColBERT, arXiv 2004.12832).

A score is the mean over the question's tokens of the highest cosine to a token of the text. sentence-transformers runs
both kinds of models: one trained for late interaction (its `MultiVectorEncoder`, with its own prompts, projection and
masks), or the token vectors of any sentence embedder such as MiniLM, which was trained for their mean only: a working
substitute, no ColBERT.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ragkit.errors import ModelError
from ragkit.identity import content_hash
from ragkit.models.hub import model_folder
from ragkit.models.known import KNOWN
from ragkit.models.profile import read_profile, weights_fingerprint
from ragkit.models.tokenizer import HfTokenizer
from ragkit.scoring.order import Scores


class MaxSimReranker:
    """Mean maximal cosine of token vectors, in [-1, 1]; the model is loaded at the first text.

    Raises ModelError where the model cannot be found or loaded.
    """

    name = "maxsim"
    scale: Literal["cosine"] = "cosine"

    def __init__(self, model: str = "all-MiniLM-L6-v2", device: str = "auto", batch_size: int = 16) -> None:
        """Name the model (one of `ragkit models`, a folder, or a hub id)."""
        self._model = model
        self._device = device
        self._batch_size = batch_size
        self._lock = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the weights and the window."""
        weights = weights_fingerprint(self._model, lambda: self._folder)
        return content_hash("maxsim reranker", version=1, weights=weights, window=self.window)

    @cached_property
    def window(self) -> int:
        """Tokens of one text that are read, special tokens left out."""
        return read_profile(self._folder).window(None, raise_to_positions=self._model in KNOWN)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, in the unit of `window`."""
        return self._tokenizer.count(texts)

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the mean maximal cosines, shape (texts,); a question or text without a token scores -1."""
        if not texts:
            return np.zeros(0)
        with self._lock:
            asked = self._tokens([query], "query")[0]
            return np.array([_mean_maximum(asked, tokens) for tokens in self._tokens(texts, "document")])

    def _tokens(self, texts: Sequence[str], role: str) -> list[np.ndarray[Any, Any]]:
        """Return the unit vectors of the tokens of each text, shape (tokens, dimension)."""
        encode = self._loaded.encode_query if role == "query" else self._loaded.encode_document
        encoded = encode(
            list(texts), output_value="token_embeddings", batch_size=self._batch_size, show_progress_bar=False
        )
        inner = slice(1, -1) if self._plain else slice(None)  # [CLS] and [SEP] stand for no word
        return [_unit(one[inner].float().cpu().numpy()) for one in encoded]

    @cached_property
    def _plain(self) -> bool:
        """Whether the model was not made for late interaction."""
        path = self._folder / "modules.json"
        modules = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        return not any("MultiVector" in str(module.get("type")) for module in modules)

    @cached_property
    def _loaded(self) -> Any:
        from sentence_transformers import MultiVectorEncoder, SentenceTransformer

        from ragkit.models.encoder import best_device

        make = SentenceTransformer if self._plain else MultiVectorEncoder
        device = best_device(self._device)
        try:
            model = make(
                str(self._folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # the library raises many unrelated types
            raise ModelError(
                f"The late-interaction model in {self._folder} cannot be loaded on {device}: {error}",
                hint="Name another model or device, or fetch the model again.",
            ) from error
        if self._plain:
            model.max_seq_length = self.window + 2
        return model.eval()

    @cached_property
    def _tokenizer(self) -> HfTokenizer:
        return HfTokenizer.from_folder(self._folder)

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self._model)


def _mean_maximum(asked: np.ndarray[Any, Any], tokens: np.ndarray[Any, Any]) -> float:
    return float((asked @ tokens.T).max(axis=1).mean()) if len(asked) and len(tokens) else -1.0


def _unit(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return found
