"""Embedders over sentence-transformers: any model of that library by name or folder, MiniLM by default."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ragkit.errors import RagkitWarning
from ragkit.identity import content_hash
from ragkit.models.hub import model_folder
from ragkit.models.known import KNOWN
from ragkit.models.profile import EmbedderProfile, read_profile, weights_fingerprint
from ragkit.models.tokenizer import HfTokenizer
from ragkit.protocols import Progress, Vectors
from ragkit.schema import Chunked

if TYPE_CHECKING:
    from ragkit.models.encoder import Encoder

_LOG = logging.getLogger(__name__)


class SentenceTransformerEmbedder:
    """Unit vectors of a sentence-transformers model.

    Making one costs nothing; what the configuration files tell (`dimension`, `window`, `fingerprint`, `tokenizer`) is
    read when asked for, torch and the weights are loaded at the first text.

    all-MiniLM-L6-v2 reads English only, and its window is raised from the 128 and 256 tokens at which its files cut to
    the 512 positions it has, two of which are special tokens: `window` is 510.

    Raises ModelError where the model cannot be found or loaded; warns with RagkitWarning when texts are cut off.
    """

    contextual = False
    """A chunk's vector depends on its `index_text` alone."""

    def __init__(
        self,
        model: str = "all-MiniLM-L6-v2",
        device: str = "auto",
        window: int | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        """Name the model: one of `ragkit models`, a folder, or a hub id.

        `window` is the most tokens of a text that are read (None: the model's own limit), `batch_tokens` the size of a
        batch with its padding (None: 2,048 on a CPU, where more leaves its caches, 65,536 on a GPU).
        """
        self.name = model
        self._device = device
        self._wanted_window = window
        self._batch_tokens = batch_tokens
        self._lock = threading.Lock()
        self.cut_texts = 0
        """Texts so far that were longer than the window."""

    @cached_property
    def dimension(self) -> int:
        """Length of a vector."""
        stated = self._profile.dimension
        return stated if stated is not None else int(self._encoder.encode(["a"], "query").vectors.shape[1])

    @cached_property
    def window(self) -> int:
        """Tokens of one text that are read, special tokens left out."""
        known = self.name in KNOWN
        if known:
            _LOG.info("%s: window raised from %s to %s tokens", self.name, self._profile.advised, 512)
        return self._profile.window(self._wanted_window, raise_to_positions=known)

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the weights and everything else that changes a vector; equal on every machine."""
        weights = weights_fingerprint(self.name, lambda: self._folder)
        return content_hash(
            "sentence transformer",
            weights=weights,
            window=self.window,
            pooling=self._profile.pooling,
            normalised=True,
        )

    @cached_property
    def tokenizer(self) -> HfTokenizer:
        """The model's tokenizer, which decides how large a chunk may be."""
        return HfTokenizer.from_folder(self._folder)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per question, shape (n, dimension)."""
        return self._encode(texts, "query", None)

    def embed_chunks(self, batch: Sequence[Chunked], progress: Progress | None = None) -> Vectors:
        """Return one vector per chunk of `batch`, from its `index_text`, concatenated in order."""
        texts = [chunk.index_text for chunked in batch for chunk in chunked.chunks]
        return self._encode(texts, "document", progress)

    def _encode(self, texts: Sequence[str], role: str, progress: Progress | None) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        with self._lock:
            vectors, cut = self._encoder.encode(texts, role, progress)
            first = cut > 0 and self.cut_texts == 0
            self.cut_texts += cut
        if first:
            warnings.warn(
                f"{cut} of {len(texts)} texts are longer than the {self.window} tokens that {self.name} reads; what "
                "lies beyond is not embedded (further such texts are counted, not announced). Use smaller chunks, or "
                "a model with a longer window.",
                RagkitWarning,
                stacklevel=3,
            )
        return vectors

    @cached_property
    def _encoder(self) -> Encoder:
        from ragkit.models.encoder import Encoder

        return Encoder(self._folder, device=self._device, window=self.window, batch_tokens=self._batch_tokens)

    @cached_property
    def _profile(self) -> EmbedderProfile:
        return read_profile(self._folder)

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self.name)
