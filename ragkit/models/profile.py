"""What a sentence-embedding model says about itself in its configuration files, read without loading the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragkit.errors import ModelError
from ragkit.identity import content_hash
from ragkit.models.known import KNOWN

_PADDED_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl"}
"""Model types whose first two positions are taken by padding."""


@dataclass(frozen=True, slots=True)
class EmbedderProfile:
    """Dimension, limits and pooling of an embedder; tokens are counted with the special ones."""

    dimension: int | None
    positions: int | None
    """Most tokens the model has positions for, None if it has no limit."""
    advised: int | None
    """Tokens that its authors cut at, None if they do not say."""
    special_tokens: int
    pooling: str
    normalised: bool

    def window(self, wanted: int | None, *, raise_to_positions: bool) -> int:
        """Return how many tokens of a text are read, special ones left out.

        `wanted` tokens if given, else the authors' limit, or all positions with `raise_to_positions`. Raises
        ModelError where the model has fewer positions than wanted.
        """
        limits = [self.positions, None if raise_to_positions else self.advised]
        widest = min((limit for limit in limits if limit is not None), default=512) - self.special_tokens
        if wanted is None:
            return widest
        possible = (self.positions or wanted + self.special_tokens) - self.special_tokens
        if not 1 <= wanted <= possible:
            raise ModelError(
                f"The embedder's window cannot be {wanted} tokens: the model has positions for {possible}.",
                hint=f"Give 1 to {possible}, or name a model with a longer window.",
            )
        return wanted


def read_profile(folder: Path) -> EmbedderProfile:
    """Return the profile of the model in `folder`; raise ModelError if its config.json is missing or damaged."""
    config = _json(folder / "config.json")
    modules = _json(folder / "modules.json", missing=[])
    text = config.get("text_config", config)
    width = next((text[key] for key in ("hidden_size", "d_model", "dim") if key in text), None)
    pooling, normalised = "mean", False
    for module in modules:
        kind, options = module["type"].rpartition(".")[2], _json(folder / module["path"] / "config.json", missing={})
        if kind == "Pooling":
            modes = sorted(key for key, on in options.items() if key.startswith("pooling_mode") and on is not False)
            pooling = ",".join(f"{key}={options[key]}" for key in modes)
            width = options.get("embedding_dimension", options.get("word_embedding_dimension", width))
            width = width * len(modes) if width else None
        elif kind == "Dense":
            width = options.get("out_features", width)
        normalised = normalised or kind == "Normalize"
    positions = text.get("max_position_embeddings")
    if positions and text.get("model_type") in _PADDED_POSITIONS:
        positions -= 2
    advised = _json(folder / "sentence_bert_config.json", missing={}).get("max_seq_length")
    return EmbedderProfile(width, positions, advised, _special_tokens(folder), pooling, normalised)


def weights_fingerprint(name: str, folder: Callable[[], Path]) -> str:
    """Return what identifies the weights of the model `name`: the pinned hash of a known one, else its folder's.

    `folder` is called only for a model that is not known, which may have to be fetched for it.
    """
    known = KNOWN.get(name)
    return known.weights_hash if known else folder_fingerprint(folder())


def folder_fingerprint(folder: Path) -> str:
    """Return the hash of all configuration and weight files in `folder`, read in full."""
    files = {
        path.relative_to(folder).as_posix(): _hash(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".json", ".safetensors", ".bin", ".txt", ".model") and path.is_file()
    }
    return content_hash("model folder", files=files)


def _special_tokens(folder: Path) -> int:
    """Return how many special tokens are added to a text: usually 2, [CLS] and [SEP]."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        return 2
    added: int = Tokenizer.from_file(str(path)).num_special_tokens_to_add(False)
    return added


def _hash(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _json(path: Path, missing: Any = None) -> Any:
    """Return the content of `path`, or `missing` if that is given and there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if missing is not None:
            return missing
        raise ModelError(f"{path} is missing, so the folder is not a model.", hint="Check the path.") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}.", hint="Fetch the model again.") from error
