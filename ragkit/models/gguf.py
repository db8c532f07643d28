"""Convert a GGUF language model to safetensors, once, so that any library can load it.

Float32: a Q4_1 weight is `d * q + m` with half-precision `d` and `m`, which bfloat16 (8 bits of mantissa) would round a
second time. The price is disk, 538 against 269 MB for SmolLM2-135M. Loading may still cast down, as a GPU does.

This module imports torch and transformers; import it only to convert.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers import decoders, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, modeling_gguf_pytorch_utils
from transformers.utils import logging

from ragkit.protocols import Progress


def convert(gguf: Path, target: Path, progress: Progress | None = None) -> None:
    """Write model.safetensors, config, tokenizer and chat template of `gguf` into `target`."""
    folder, name = str(gguf.parent), gguf.name
    with _bars_replaced_by(progress):
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        as_named({name: field.contents() for name, field in _named(gguf)}, tokenizer)
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        )
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        tokenizer.save_pretrained(target)
        model.save_pretrained(target)


def _named(gguf: Path) -> Iterator[tuple[str, Any]]:
    """Yield what the file's metadata say of the tokenizer, without its long lists of tokens and merges."""
    for name, field in GGUFReader(gguf).fields.items():
        if name in {"tokenizer.ggml.model", "tokenizer.ggml.pre"} or name.endswith("_token_id"):
            yield name, field


def as_named(fields: Mapping[str, Any], tokenizer: Any) -> None:
    """Make `tokenizer` the one that the GGUF's metadata `fields` name, whatever the release of transformers.

    Some releases read a GPT-2-like vocabulary as one with byte fallback, which tokenizes alike but which grammars
    misread, and take another end token. All read "smollm" (single digits, then byte level) as plain byte level, which
    cuts white space before a digit differently from the text the model was trained on.
    """
    if fields.get("tokenizer.ggml.model") == "gpt2":
        backend = tokenizer.backend_tokenizer
        backend.normalizer = None
        backend.decoder = decoders.ByteLevel()
        backend.model.byte_fallback = backend.model.fuse_unk = False
        backend.model.unk_token = None
    if fields.get("tokenizer.ggml.pre") == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    for kind, name in (("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")):
        place = fields.get(f"tokenizer.ggml.{kind}_token_id")
        if place is not None:
            setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(int(place)))


@contextlib.contextmanager
def _bars_replaced_by(progress: Progress | None) -> Iterator[None]:
    """Send what transformers would draw on the terminal to `progress`; its GGUF loader offers no switch for that."""

    def report(tensors: Iterable[Any], **_: Any) -> Iterator[Any]:
        every = list(tensors)
        for done, tensor in enumerate(every):
            if progress is not None:
                progress("convert", done, len(every))
            yield tensor

    shown, drawn = logging.is_progress_bar_enabled(), getattr(modeling_gguf_pytorch_utils, "tqdm", None)
    logging.disable_progress_bar()
    modeling_gguf_pytorch_utils.tqdm = report
    try:
        yield
    finally:
        modeling_gguf_pytorch_utils.tqdm = drawn
        if shown:
            logging.enable_progress_bar()
