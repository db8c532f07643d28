"""Cross-encoders of sentence-transformers by name: question and text are read together by one classifier."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ragkit.errors import RagkitWarning, UnsupportedError
from ragkit.identity import content_hash
from ragkit.models.hub import model_folder
from ragkit.models.profile import folder_fingerprint, read_profile
from ragkit.models.tokenizer import HfTokenizer
from ragkit.scoring.order import Scores


class CrossEncoderReranker:
    """Logits of a cross-encoder with one output; the model is loaded at the first text.

    Scores are logits for every model, whatever activation it was saved with, so that one calibration (sigmoid) suits
    all. Batches hold texts of like length. Most cross-encoders read 512 tokens of question and text together; what lies
    beyond is cut off and announced once.

    Raises ModelError where the model cannot be found or loaded, UnsupportedError for one with several outputs.
    """

    name = "cross_encoder"
    scale: Literal["logit"] = "logit"

    def __init__(
        self, model: str, device: str = "auto", window: int | None = None, batch_tokens: int | None = None
    ) -> None:
        """Name the model: a folder or a hub id.

        `window` is the most tokens of question and text that are read, special tokens left out (None: the model's own
        limit), `batch_tokens` the size of a batch with its padding (None: 4,096 on a CPU, 65,536 on a GPU).
        """
        self._model = model
        self._device = device
        self._wanted_window = window
        self._batch_tokens = batch_tokens
        self._lock = threading.Lock()
        self.cut_texts = 0
        """Texts so far that did not fit the window beside their question."""

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the weights and the window."""
        return content_hash("cross-encoder", weights=folder_fingerprint(self._folder), window=self.window)

    @cached_property
    def window(self) -> int:
        """Tokens of question and text together that are read, the special ones left out."""
        # a pair has one separator more than the single text that the profile counts
        wanted = None if self._wanted_window is None else self._wanted_window + 1
        return read_profile(self._folder).window(wanted, raise_to_positions=True) - 1

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, in the unit of `window`."""
        return self._tokenizer.count(texts)

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return one logit for each text, shape (texts,)."""
        if not texts:
            return np.zeros(0)
        with self._lock:
            return self._scores(query, texts)

    def _scores(self, query: str, texts: Sequence[str]) -> Scores:
        from ragkit.models.encoder import batches  # it imports torch

        asked = self.count([query])[0]
        lengths = np.array(self.count(texts), np.int64) + asked
        self._announce(int((lengths > self.window).sum()), len(texts))
        found = np.empty(len(texts), np.float64)
        room = self._batch_tokens or (4096 if self._loaded.device.type == "cpu" else 65_536)
        for batch in batches(np.minimum(lengths, self.window), room):
            found[batch] = self._loaded.predict(
                [(query, texts[place]) for place in batch],
                batch_size=len(batch),
                activation_fn=_identity,
                show_progress_bar=False,
            )
        return found

    def _announce(self, cut: int, texts: int) -> None:
        first = cut > 0 and self.cut_texts == 0
        self.cut_texts += cut
        if first:
            warnings.warn(
                f"{cut} of {texts} texts do not fit, with the question, the {self.window} tokens that {self._model} "
                "reads; what lies beyond is not judged (further such texts are counted, not announced).",
                RagkitWarning,
                stacklevel=4,
            )

    @cached_property
    def _loaded(self) -> Any:
        from ragkit.rerankers.loading import load_cross_encoder

        model = load_cross_encoder(self._folder, self._device, self.window + 3)
        outputs = int(model.num_labels)
        if outputs != 1:
            raise UnsupportedError(
                f"The model {self._model!r} has {outputs} outputs; a reranker has one.",
                hint="Name a cross-encoder trained to rank, such as cross-encoder/ms-marco-MiniLM-L6-v2.",
            )
        return model

    @cached_property
    def _tokenizer(self) -> HfTokenizer:
        return HfTokenizer.from_folder(self._folder)

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self._model)


def _identity(logits: Any) -> Any:
    return logits
