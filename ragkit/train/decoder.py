"""Causal language models as cross-encoders: what of question and text they read, and where the verdict is taken.

A decoder's tokenizer joins two texts without anything between them. Here the question, an end mark, the text and an end
mark are read in this order, so that every token of the text sees the question, and the state of the last mark, which
sees everything, is judged (Ma et al., "Fine-Tuning LLaMA for Multi-Stage Text Retrieval", arXiv 2310.08319).
"""

from __future__ import annotations

from typing import Any

from tokenizers.processors import TemplateProcessing

from ragkit.errors import ModelError


def is_decoder(tokenizer: Any, model: Any) -> bool:
    """Return whether `model` reads from left to right only: its `tokenizer` ends texts and separates none."""
    return tokenizer.sep_token is None and not model.config.is_encoder_decoder


def prepare(tokenizer: Any, model: Any) -> None:
    """Let `tokenizer` mark the ends of question and text, and pad with another token than that mark.

    Both are saved with the tokenizer and the model, so that whoever loads them reads pairs in the same way; a chat
    template is taken away, as sentence-transformers would write pairs by it. Raises ModelError for a tokenizer without
    an end token, or without a second special token.
    """
    end = tokenizer.eos_token
    paddings = [
        token for token in (tokenizer.pad_token, *reversed(tokenizer.all_special_tokens)) if token and token != end
    ]
    if end is None or not paddings:
        raise ModelError(
            f"The tokenizer of {model.config.name_or_path!r} has the special tokens {tokenizer.all_special_tokens}; "
            "expected an end token, and another one to pad with.",
            hint="Train from an encoder such as all-MiniLM-L6-v2.",
        )
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B {end}", special_tokens=[(end, tokenizer.eos_token_id)]
    )
    tokenizer.pad_token = paddings[0]
    tokenizer.padding_side = "right"
    tokenizer.chat_template = None
    model.config.pad_token_id = tokenizer.pad_token_id


def last_states(model: Any, features: Any) -> Any:
    """Return the states of the last token of each row, float32, shape (rows, width)."""
    import torch

    states = model.base_model(**features).last_hidden_state
    last = features["attention_mask"].sum(dim=1) - 1
    return states[torch.arange(len(states), device=states.device), last].float()
