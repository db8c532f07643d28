"""Convert a GGUF language model to safetensors, once, so that any library can load it.

Float32: a Q4_1 weight is `d * q + m` with half-precision `d` and `m`, which bfloat16 (8 bits of mantissa) would round a
second time. The price is disk, 538 against 269 MB for SmolLM2-135M. Loading may still cast down, as a GPU does.

This module imports torch and transformers; import it only to convert.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, modeling_gguf_pytorch_utils
from transformers.utils import logging

from ragkit.protocols import Progress


def convert(gguf: Path, target: Path, progress: Progress | None = None) -> None:
    """Write model.safetensors, config, tokenizer and chat template of `gguf` into `target`."""
    folder, name = str(gguf.parent), gguf.name
    with _bars_replaced_by(progress):
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        _split_digits(gguf, tokenizer)
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        )
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        tokenizer.save_pretrained(target)
        model.save_pretrained(target)


def _split_digits(gguf: Path, tokenizer: Any) -> None:
    """Give the tokenizer the pre-tokenizer that the GGUF names ("smollm": single digits, then byte level).

    transformers reads every GPT-2-like vocabulary as plain byte level, which cuts white space before a digit
    differently from the text the model was trained on.
    """
    named = GGUFReader(gguf).fields.get("tokenizer.ggml.pre")
    if named is not None and named.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )


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
