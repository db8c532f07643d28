"""A causal model of a folder, loaded by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from ragkit.errors import ModelError


def load_model(name: str, folder: Path, device: str, dtype: str) -> Any:
    """Return the model, local files only, safetensors only, ready to run; "auto" is a GPU in bfloat16 if there is one.

    Raises ModelError with the library's reason where that is not possible.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, use_safetensors=True
        )
        return model.to(device).eval()
    except Exception as error:  # the library raises many unrelated types
        raise ModelError(
            f"The language model {name!r} cannot be loaded on {device}: {error}",
            hint="Name another model or device, or fetch the model again.",
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()


def load_tokenizer(name: str, folder: Path) -> Any:
    """Return the model's tokenizer, which cuts nothing off; raise ModelError where there is none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the library raises many unrelated types
        raise ModelError(
            f"The tokenizer of {name!r} cannot be loaded: {error}", hint="Fetch the model again."
        ) from error
    tokenizer.model_max_length = 1 << 30  # the window is enforced by the caller, with a better message
    return tokenizer


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end a reply, as the model's generation settings or the tokenizer name them."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def start_token(model: Any, tokenizer: Any) -> int:
    """Return what stands before a text's first token: the start token, else the end token, else a line break.

    An end token parts documents in most models' training, so it predicts a document's first token much like a start
    token. Raises ModelError where there is none of them.
    """
    config = model.config.get_text_config()
    for known in (tokenizer.bos_token_id, config.bos_token_id, tokenizer.eos_token_id, config.eos_token_id):
        token = known[0] if isinstance(known, list) else known
        if token is not None:
            return int(token)
    breaks = tokenizer("\n", add_special_tokens=False)["input_ids"]
    if not breaks:
        raise ModelError("The model has no token to put before a text.", hint="Name another model.")
    return int(breaks[-1])
