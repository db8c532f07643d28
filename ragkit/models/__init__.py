"""Embedders, tokenizers and language models, and where their weights come from."""
