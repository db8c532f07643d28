"""The tokenizer of the package `tokenizers` under one of ours, for libraries that only count with it."""

from __future__ import annotations

from typing import Any

from ragkit.models.tokenizer import HfTokenizer


def bare_tokenizer(tokenizer: HfTokenizer) -> Any:
    """Return the `tokenizers.Tokenizer` under `tokenizer`, which counts alike: nothing is truncated or padded."""
    from tokenizers import Tokenizer

    bare = Tokenizer.from_str(tokenizer.definition)
    bare.no_truncation()
    bare.no_padding()
    return bare
