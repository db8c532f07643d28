"""The torch side of the embedder: texts to vectors in batches of equal length.

Texts are tokenised once, sorted by their number of tokens and cut into batches of about `batch_tokens` tokens, so that
almost nothing is padding. sentence-transformers loads the model and runs its modules; its own `encode` sorts by
characters and pads more.

This module imports torch; import it only to embed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers.utils import logging

from ragkit.errors import ModelError
from ragkit.protocols import Progress, Vectors


class Encoded(NamedTuple):
    """Unit vectors in the order of the texts, and how many texts were longer than the window."""

    vectors: Vectors
    cut: int


class Encoder:
    """A loaded model; `window` counts tokens without the special ones."""

    def __init__(self, folder: Path, *, device: str, window: int, batch_tokens: int | None = None) -> None:
        """Load the model in `folder` onto `device` ("auto": a GPU if there is one)."""
        self._model = _load(folder, best_device(device))
        self._batch_tokens = batch_tokens or (2048 if self._model.device.type == "cpu" else 65_536)
        self._prompts: dict[str, str] = self._model.prompts
        self._tokenizer, self._pad = _tokenizer(self._model, window)

    def encode(self, texts: Sequence[str], role: str, progress: Progress | None = None) -> Encoded:
        """Return the vectors of `texts`; `role` ("query" or "document") picks the model's own prompt if it has one."""
        prompt = self._prompts.get(role) or ""
        texts = [prompt + text for text in texts] if prompt else texts
        if self._tokenizer is None:
            vectors = self._model.encode(list(texts), convert_to_numpy=True, show_progress_bar=False)
            return Encoded(_unit(vectors), 0)
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        ids = [encoding.ids for encoding in encodings]
        cut = sum(1 for encoding in encodings if encoding.overflowing)
        del encodings
        return Encoded(_unit(self._forward_all(ids, progress)), cut)

    def _forward_all(self, ids: list[list[int]], progress: Progress | None) -> NDArray[np.float32]:
        lengths = np.fromiter((len(one) for one in ids), dtype=np.int64, count=len(ids))
        vectors: NDArray[np.float32] | None = None
        done = 0
        for batch in batches(lengths, self._batch_tokens):
            found = self._forward([ids[index] for index in batch], int(lengths[batch].max()))
            if vectors is None:
                vectors = np.empty((len(ids), found.shape[1]), dtype=np.float32)
            vectors[batch] = found
            done += len(batch)
            if progress is not None:
                progress("embed", done, len(ids))
        return vectors if vectors is not None else np.empty((0, 0), dtype=np.float32)

    def _forward(self, ids: list[list[int]], longest: int) -> NDArray[np.float32]:
        """Return one vector per row of `ids`, each padded to `longest`."""
        padded = np.full((len(ids), longest), self._pad, dtype=np.int64)
        mask = np.zeros((len(ids), longest), dtype=np.int64)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = one
            mask[row, : len(one)] = 1
        features: dict[str, Any] = {
            "input_ids": torch.from_numpy(padded).to(self._model.device),
            "attention_mask": torch.from_numpy(mask).to(self._model.device),
        }
        with torch.inference_mode():
            pooled = self._model(features)["sentence_embedding"]
        found: NDArray[np.float32] = pooled.float().cpu().numpy()
        return found


def batches(lengths: NDArray[np.int64], batch_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of texts, longest first, in batches whose padded size is at most `batch_tokens`.

    A single text longer than that is a batch of its own. Longest first: if memory is short it shows at once.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + rows]
        start += rows


def best_device(device: str) -> str:
    """Return `device`, or for "auto" a GPU if there is one and else the CPU."""
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _load(folder: Path, device: str) -> Any:
    """Return the model, local files only, safetensors only, without progress bars of its own."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(
            str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
        ).eval()
    except Exception as error:  # the library raises many unrelated types
        raise ModelError(
            f"The embedder in {folder} cannot be loaded on {device}: {error}",
            hint="Name another model or device, or fetch the model again.",
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()


def _tokenizer(model: Any, window: int) -> tuple[Tokenizer | None, int]:
    """Return the model's own fast tokenizer cutting at `window`, and the padding id.

    None where the model needs its library's own path: no fast tokenizer, lower-casing outside of it, or prompts that
    pooling must leave out.
    """
    first = model[0]
    tokenizer: Any = getattr(first, "tokenizer", None)
    plain = all(getattr(module, "include_prompt", True) for module in model) and not getattr(
        first, "do_lower_case", False
    )
    if not plain or not getattr(tokenizer, "is_fast", False):
        model.max_seq_length = window
        return None, 0
    fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    fast.no_padding()
    fast.enable_truncation(window + fast.num_special_tokens_to_add(False))
    return fast, tokenizer.pad_token_id or 0


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    """Return `vectors` scaled to unit length; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)
