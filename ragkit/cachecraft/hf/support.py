"""Which models can reuse chunks, read off their configuration; `ragkit.cachecraft.hf.proof` then tries them."""

from __future__ import annotations

from typing import Any

from ragkit.errors import UnsupportedError

ROTARY_TYPES = frozenset({"default", "llama3", "linear", "yarn"})
"""Rotary types whose angle depends on the position alone."""

_HINT = "Use a decoder-only text model with rotary positions and full attention, such as Llama, Qwen2.5 or Qwen3."


def check_configuration(config: Any) -> None:
    """Raise UnsupportedError with the reason where a model of this configuration cannot reuse chunks."""
    for reason, found in _reasons(config).items():
        if found:
            raise refused(config, reason)


def _reasons(config: Any) -> dict[str, bool]:
    def has(*names: str) -> bool:
        return any(bool(getattr(config, name, None)) for name in names)

    types = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None) is not None and not types
    rope = rope_settings(config)
    no_rope = getattr(config, "no_rope_layers", None) or ()
    return {
        "it is an encoder-decoder": has("is_encoder_decoder"),
        "it is multimodal": config.get_text_config() is not config or has("vision_config", "audio_config"),
        "it has ALiBi position biases": has("alibi") or config.model_type in {"bloom", "mpt"},
        "it has no rotary positions": config.model_type in {"gpt2", "opt", "gpt_neo", "gpt_bigcode", "xglm", "biogpt"},
        "it has latent attention (MLA)": has("kv_lora_rank"),
        "it has linear, recurrent or hybrid attention layers": has(
            "layers_block_type", "mamba_d_state", "ssm_state_size", "state_size", "linear_num_key_heads", "mamba_expand"
        )
        or bool(types & {"linear_attention", "mamba", "mamba2", "recurrent", "conv", "hybrid"}),
        "it has sliding-window or chunked attention layers": window
        or bool(types - {"full_attention", "attention"})
        or has("attention_chunk_size"),
        "its layers share keys and values": has("num_kv_shared_layers", "cross_layer_kv_sharing"),
        "some of its layers have no positions": has("no_rope_layer_interval") or 0 in no_rope,
        "its attention scores are soft-capped": has("attn_logit_softcapping"),
        "it has multimodal rotary positions (M-RoPE)": "mrope_section" in rope,
        f"its rotary positions are of the type {rope.get('rope_type', 'default')!r}": (
            rope.get("rope_type", "default") not in ROTARY_TYPES
        ),
        "its layers have different rotary positions": any(isinstance(value, dict) for value in rope.values()),
    }


def rope_settings(config: Any) -> dict[str, Any]:
    """Return the settings of a configuration's rotary positions."""
    found = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return dict(found)


def refused(config: Any, reason: str) -> UnsupportedError:
    """Return the error that names the model's type and the reason."""
    return UnsupportedError(f"Chunk reuse does not work with this {config.model_type} model: {reason}.", hint=_HINT)
