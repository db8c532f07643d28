"""How many bytes keys and values take (vllm_backend 10)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KvShape:
    """The shape of a model's keys and values; `element_bytes` is 2 for bfloat16."""

    layers: int
    kv_heads: int
    head_dim: int
    element_bytes: int = 2

    @property
    def token_bytes(self) -> int:
        """Bytes of one token.

        >>> KvShape(layers=32, kv_heads=8, head_dim=128).token_bytes  # Llama-3-8B
        131072
        """
        return 2 * self.layers * self.kv_heads * self.head_dim * self.element_bytes

    def variant_bytes(self, tokens: int) -> int:
        """Bytes of one variant of a chunk of so many tokens."""
        return tokens * self.token_bytes
