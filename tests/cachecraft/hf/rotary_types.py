"""Configurations of tiny models for every rotary type, both pairings, and rotations of a part of the dimensions."""

from __future__ import annotations

from typing import Any

from transformers import (
    CohereConfig,
    GlmConfig,
    GPTNeoXConfig,
    LlamaConfig,
    PhiConfig,
    Qwen2Config,
    Qwen3Config,
    StableLmConfig,
)

from tests.cachecraft.hf import tiny

THETA = {"rope_theta": 10000.0}
TYPES: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default", **THETA},
    "linear": {"rope_type": "linear", "factor": 4.0, **THETA},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
        **THETA,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512, **THETA},
}
PART = {"rope_parameters": {**TYPES["default"], "partial_rotary_factor": 0.5}}


def configs(**more: Any) -> dict[str, Any]:
    """Return the configurations by name; `more` is given to each."""
    sizes = {**tiny.SIZES, **more}
    return {
        **{f"llama {kind}": LlamaConfig(**sizes, rope_parameters=dict(found)) for kind, found in TYPES.items()},
        "qwen2": Qwen2Config(**sizes),
        "qwen3": Qwen3Config(**sizes, head_dim=16),
        "gpt-neox, a part of the dimensions": GPTNeoXConfig(**sizes, **PART),
        "phi, a part of the dimensions": PhiConfig(**sizes, **PART),
        "stablelm, a part of the dimensions": StableLmConfig(**sizes, **PART),
        "cohere, neighbours": CohereConfig(**sizes),
        "glm, neighbours, a part of the dimensions": GlmConfig(**sizes, head_dim=16, **PART),
    }
