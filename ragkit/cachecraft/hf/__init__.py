"""Chunk-KV reuse on transformers: a product of its own, and the oracle for every other backend."""
